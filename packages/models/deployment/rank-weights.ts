// The weights that one GPU holds.
//
// Owns the sum over tensors of each rank's share. What engines add to the checkpoint is here too: for latent attention they keep
// `kv_b_proj` once more, split and in bfloat16, for decoding in the latent's space. Experts are dealt whole or divided alike, so
// every rank of a stage has the same.

import type { Engine } from './cache-demand.ts';
import { feedForwardRanks, gpusOf, type Layout, stagesOf } from './layout.ts';
import { type Division, type ModelTensor, type Quantization, tensorBytes } from './model-tensors.ts';
import type { ServedModel } from './served-model.ts';

/** Bytes by place and by what divides them, for one quantization: made once, read for every layout. */
export type WeightTable = ReadonlyMap<ModelTensor['place'], Readonly<Partial<Record<Division, number>>>>;

export function weightTable(
  model: ServedModel,
  quantization: Quantization,
  predictor: 'present' | 'absent',
): WeightTable {
  const table = new Map<ModelTensor['place'], Partial<Record<Division, number>>>();
  const add = (place: ModelTensor['place'], division: Division, bytes: number) => {
    const row = table.get(place) ?? {};
    row[division] = (row[division] ?? 0) + bytes;
    table.set(place, row);
  };
  for (const tensor of model.tensors) {
    if (tensor.predictor === 'copy' || (tensor.predictor === 'own' && predictor === 'absent')) continue;
    add(tensor.place, tensor.division, tensorBytes(tensor, quantization));
    if (tensor.name.endsWith('.kv_b_proj.weight')) add(tensor.place, 'attention', tensor.rows * tensor.columns * 2);
  }
  return table;
}

/** Of the GPUs of each stage. */
export function rankWeights(model: ServedModel, table: WeightTable, layout: Layout, engine: Engine): number[] {
  const share = (place: ModelTensor['place']) =>
    Object.entries(table.get(place) ?? {}).reduce(
      (sum, [division, bytes]) => sum + bytes * shareOf(division as Division, model, layout, engine),
      0,
    );
  const stages = stagesOf(model.layers, layout.pipeline);
  return stages.map(({ begin, end }, stage) => {
    let bytes = 0;
    for (let layer = begin; layer < end; layer++) bytes += share(layer);
    if (stage === 0) bytes += share('first');
    // The prediction module is the layer after the last.
    if (stage === stages.length - 1) bytes += share(model.layers) + share('last');
    return bytes;
  });
}

/** The part of a tensor that a rank holds. */
function shareOf(division: Division, model: ServedModel, layout: Layout, engine: Engine): number {
  const { tensor, data, expert } = layout;
  // SGLang's attention of several groups keeps the embedding whole and divides the head among all.
  const isGrouped = engine === 'sglang' && data > 1 && model.mixture !== undefined;
  switch (division) {
    case 'attention':
      return 1 / tensor;
    case 'keyHeads':
      return 1 / Math.min(tensor, model.attention.kind === 'grouped' ? model.attention.keyHeads : tensor);
    case 'feedForward':
      return 1 / feedForwardRanks(model, layout, engine);
    case 'experts': {
      const experts = model.mixture?.experts ?? 1;
      return expert > 1 ? Math.ceil(experts / expert) / experts : 1 / (gpusOf(layout) / layout.pipeline);
    }
    case 'embedding':
      return isGrouped ? 1 : 1 / tensor;
    case 'head':
      return isGrouped ? 1 / (tensor * data) : 1 / tensor;
    case 'none':
      return 1;
    default:
      return unreachable(division);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known division, got ${JSON.stringify(value)}`);
}
