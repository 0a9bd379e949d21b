// How a model is divided over GPUs.
//
// Owns which divisions vLLM and SGLang can carry out for a model, each refused with its reason, and how the layers of a pipeline
// are shared out. Knows nothing of memory. `tensor` ranks share each sequence; `data` groups of them have sequences of their own
// and, in a mixture, the experts in common; `pipeline` stages follow one another.

import type { Engine } from './cache-demand.ts';
import type { Quantization } from './model-tensors.ts';
import type { ServedModel } from './served-model.ts';

export interface Layout {
  readonly tensor: number;
  readonly pipeline: number;
  readonly data: number;
  /** Ranks among which whole experts are dealt; 1 where each expert is divided instead, or there is none. */
  readonly expert: number;
}

export interface LayoutOptions {
  readonly engine: Engine;
  readonly quantization: Quantization;
  readonly perNode: number;
  /** Whether the prediction module runs; it needs the first and the last stage together. */
  readonly predictor: 'present' | 'absent';
}

/** Of scales: a matrix is divided into whole blocks of them. */
const block = 128;

export function gpusOf({ tensor, pipeline, data }: Layout): number {
  return tensor * pipeline * data;
}

/** All that can be carried out with at most `count` GPUs. What is possible with some is possible with more. */
export function layoutsFor(model: ServedModel, count: number, options: LayoutOptions): Layout[] {
  const layouts: Layout[] = [];
  for (let tensor = 1; tensor <= count; tensor++) {
    for (let data = 1; tensor * data <= count; data++) {
      const most = data === 1 ? Math.min(Math.floor(count / tensor), model.layers) : 1;
      for (let pipeline = 1; pipeline <= most; pipeline++) {
        const layout = { tensor, pipeline, data, expert: expertRanks(model, tensor, data, options) };
        if (layoutProblem(model, layout, options) === undefined) layouts.push(layout);
      }
    }
  }
  return layouts;
}

/** What rules a layout out, in a few words. */
export function layoutProblem(model: ServedModel, layout: Layout, options: LayoutOptions): string | undefined {
  const { tensor, pipeline, data, expert } = layout;
  const { attention, heads, mixture, denseWidth } = model;
  const { engine, quantization, perNode, predictor } = options;
  const isDivided = (n: number) => n % tensor === 0;
  if (!isDivided(heads)) return `${heads} heads cannot be divided by ${tensor}`;
  if (attention.kind === 'grouped' && !isDivided(attention.keyHeads) && tensor % attention.keyHeads !== 0) {
    return `${attention.keyHeads} key heads and ${tensor} ranks do not divide each other`;
  }
  if (attention.kind === 'compressed') {
    if (!isDivided(attention.groups)) return `${attention.groups} output groups cannot be divided by ${tensor}`;
    if (pipeline > 1 && engine === 'sglang') return 'no pipeline of V4 is known in SGLang';
  }
  if (pipeline > 1 && predictor === 'present') return 'the prediction module needs both ends of the pipeline';
  const unit = quantization === 'published' && model.stored !== 'bf16' ? block : 1;
  const inner = feedForwardRanks(model, layout, engine);
  for (const [what, width] of [
    ['dense layers', denseWidth],
    ['shared experts', mixture?.sharedWidth ?? 0],
  ] as const) {
    if (inner > 1 && width % (inner * unit) !== 0)
      return `${what} of ${width} cannot be divided by ${inner} in blocks of ${unit}`;
  }
  if (mixture && expert > mixture.experts) return `${mixture.experts} experts are fewer than ${expert} ranks`;
  const total = gpusOf(layout);
  if (total > perNode && total % perNode !== 0) return `${total} GPUs are no whole number of nodes of ${perNode}`;
  if (total > perNode && data > 1 && !mixture && engine === 'sglang') return 'copies stay within a node';
  if (tensor > perNode && engine === 'vllm') return `tensor parallelism of ${tensor} leaves the node of ${perNode}`;
  if (total > perNode && tensor <= perNode && perNode % tensor !== 0) return `${tensor} ranks would straddle nodes`;
  return undefined;
}

/** Ranks among which dense layers and shared experts are divided: SGLang's attention of several groups has them in common. */
export function feedForwardRanks({ mixture }: ServedModel, { tensor, data }: Layout, engine: Engine): number {
  return engine === 'sglang' && mixture ? tensor * data : tensor;
}

/** vLLM deals whole experts wherever there is more than one GPU; SGLang divides each where its blocks allow it. */
function expertRanks(
  { mixture, stored }: ServedModel,
  tensor: number,
  data: number,
  { engine, quantization }: LayoutOptions,
): number {
  if (!mixture) return 1;
  const ranks = tensor * data;
  const unit = quantization === 'published' && stored !== 'bf16' ? block : 1;
  const canDivide = engine === 'sglang' && data === 1 && mixture.expertWidth % (ranks * unit) === 0;
  return canDivide ? 1 : ranks;
}

/** Layers of each stage, as both engines share them out: what is left over goes to the later stages but the last. */
export function stagesOf(layers: number, pipeline: number): { readonly begin: number; readonly end: number }[] {
  const sizes = Array.from({ length: pipeline }, () => Math.floor(layers / pipeline));
  for (let left = layers % pipeline, i = 2; left > 0; left--, i++) sizes[pipeline - i] = (sizes[pipeline - i] ?? 0) + 1;
  let begin = 0;
  return sizes.map((size) => {
    const stage = { begin, end: begin + size };
    begin += size;
    return stage;
  });
}
