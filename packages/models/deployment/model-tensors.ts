// The tensors of a model that another engine will serve: how large they are, how they are stored, how they are divided.
//
// Owns the storage of each tensor as its publisher writes it, and the rule by which vLLM and SGLang give ranks their share.
// Names and shapes are asked of the architecture itself, which describes them to a source that makes nothing, so what is
// counted here is what Hadal would load. Reads no weight.

import { z } from 'zod';
import { defineModel } from '../architectures.ts';
import { parseConfig } from '../configuration.ts';
import { type Part, recordRequests, rowsOf, specKey, type WeightKind, type WeightSpec } from '../weight-source.ts';

/** `int64`: V4's table of experts by token. */
export type Storage = 'float32' | 'bfloat16' | 'fp8' | 'fp4' | 'int64';

/**
 * What a tensor is divided by. `attention`: heads, among the ranks that share a sequence; `keyHeads`: the same, and whole
 * heads are repeated where there are more ranks; `none`: every rank has all of it.
 */
export type Division = 'attention' | 'keyHeads' | 'feedForward' | 'experts' | 'embedding' | 'head' | 'none';

export interface ModelTensor {
  readonly name: string;
  /** The layer it belongs to; the embedding is before the first, norm and head are after the last. */
  readonly place: number | 'first' | 'last';
  readonly division: Division;
  /** Matrices of [rows, columns], as many as there are experts. */
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
  readonly storage: Storage;
  /** A matrix that a quantization by the engine, or by whoever converts the checkpoint, would narrow. */
  readonly isNarrowable: boolean;
  /** Of the prediction module. `copy`: of the embedding or the head, which engines keep once. */
  readonly predictor: 'no' | 'own' | 'copy';
}

/** How matrices are kept: as they were published, widened to bfloat16, or narrowed to 8 or 4 bits. */
export type Quantization = 'published' | 'bf16' | 'fp8' | 'awq';

const wire = z.object({
  model_type: z.string().optional(),
  num_hidden_layers: z.int().positive(),
  num_nextn_predict_layers: z.int().nonnegative().nullish(),
  expert_dtype: z.string().nullish(),
  quantization_config: z
    .object({
      quant_method: z.string(),
      weight_block_size: z.tuple([z.int().positive(), z.int().positive()]).nullish(),
    })
    .nullish(),
});

/** Every tensor, the prediction module's last. `json` is a config.json that `defineModel` understands. */
export function modelTensors(json: unknown, where: string): readonly ModelTensor[] {
  const config = parseConfig(wire, json, where);
  const method = config.quantization_config?.quant_method;
  if (method !== undefined && method !== 'fp8') {
    const expected = 'expected fp8 or none: name the configuration of the original and give --quantization';
    throw new Error(`${where}: quantization_config.quant_method: ${expected}; found "${method}"`);
  }
  const specs = specsOf(json, where);
  const ownLayer = `.${config.num_hidden_layers}.`;
  const toTensors = (spec: WeightSpec): ModelTensor[] =>
    partsOf(spec).map(({ name, count, rows, columns }) => ({
      ...{ name, count, rows, columns },
      place: placeOf(name),
      division: divisionOf(name, spec.kind),
      storage: storageOf(name, spec.kind, method === 'fp8', config.expert_dtype === 'fp4'),
      isNarrowable: isMatrix(name, spec.kind),
      predictor: name.includes(`layers${ownLayer}`) ? (isCopy(name) ? 'copy' : 'own') : 'no',
    }));
  // A tensor that the architecture takes in stretches of rows is one tensor here.
  const whole = new Map<string, ModelTensor>();
  for (const tensor of [...specs.values()].flatMap(toTensors)) {
    const before = whole.get(tensor.name);
    whole.set(tensor.name, before ? { ...tensor, rows: before.rows + tensor.rows } : tensor);
  }
  return [...whole.values()];
}

/** Bytes of a tensor, its scales with it. */
export function tensorBytes(tensor: ModelTensor, quantization: Quantization): number {
  const { count, rows, columns, storage, isNarrowable } = tensor;
  const elements = count * rows * columns;
  const asStored = count * storedBytes(rows, columns, storage, tensor.name.startsWith('layers.'));
  if (!isNarrowable) return asStored;
  switch (quantization) {
    case 'published':
      return asStored;
    case 'bf16':
      return elements * 2;
    case 'fp8':
      return elements;
    case 'awq':
      // Groups of 128 with a scale in float16 and a zero point of four bits.
      return elements * (0.5 + 2.5 / 128);
    default:
      return unreachable(quantization);
  }
}

export function elementsOfTensor({ count, rows, columns }: ModelTensor): number {
  return count * rows * columns;
}

/** FP8 has a scale for 128 x 128 elements: a float32, or in V4's checkpoints a power of two in a byte. FP4 has one for 32. */
function storedBytes(rows: number, columns: number, storage: Storage, hasByteScales: boolean): number {
  const elements = rows * columns;
  switch (storage) {
    case 'float32':
      return elements * 4;
    case 'bfloat16':
      return elements * 2;
    case 'fp8':
      return elements + Math.ceil(rows / 128) * Math.ceil(columns / 128) * (hasByteScales ? 1 : 4);
    case 'fp4':
      return rows * (columns / 2 + Math.ceil(columns / 32));
    case 'int64':
      return elements * 8;
    default:
      return unreachable(storage);
  }
}

/** What the architecture asks for when everything is there, each tensor once. */
function specsOf(json: unknown, where: string): Map<string, WeightSpec> {
  const { model_type: type, num_nextn_predict_layers: predictors } = json as Record<string, unknown>;
  const specs = type === 'deepseek_v4' && predictors ? v4WithPredictor(json as V4Json, where) : assembled(json, where);
  return new Map(specs.map((spec) => [specKey(spec), spec]));
}

function assembled(json: unknown, where: string): WeightSpec[] {
  const definition = defineModel(json, where);
  const options = { form: definition.forms[0], positions: 1, predictor: 'present' } as const;
  return recordRequests(
    (source) => definition.assemble(source, options),
    () => true,
  ).weights.map(({ spec }) => spec);
}

interface V4Json {
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly hc_mult: number;
  readonly compress_ratios?: readonly number[];
  readonly layer_types?: readonly string[] | null;
  readonly mlp_layer_types?: readonly string[] | null;
}

/** V4's module, which Hadal does not run, is one more block without compression, two projections, norms and an own collapse. */
function v4WithPredictor(json: V4Json, where: string): WeightSpec[] {
  const {
    num_hidden_layers: L,
    hidden_size: D,
    hc_mult: streams,
    compress_ratios,
    layer_types,
    mlp_layer_types,
  } = json;
  const longer = {
    ...{ ...json, num_hidden_layers: L + 1 },
    ...(compress_ratios && { compress_ratios: [...compress_ratios.slice(0, L), 0] }),
    ...(layer_types && { layer_types: [...layer_types.slice(0, L), 'sliding_attention'] }),
    ...(mlp_layer_types && { mlp_layer_types: [...mlp_layer_types.slice(0, L), 'moe'] }),
  };
  const at = `layers.${L}`;
  const spec = (kind: WeightKind, name: string, ...shape: number[]): WeightSpec => ({
    ...{ kind, shape },
    parts: [{ name: `${at}.${name}`, shape }],
  });
  return [
    ...assembled(longer, where),
    ...['e_proj', 'h_proj'].map((name) => spec('matrix', `${name}.weight`, D, D)),
    ...['enorm', 'hnorm', 'norm'].map((name) => spec('norm', `${name}.weight`, D)),
    ...[spec('mixer', 'hc_head_fn', streams, streams * D), spec('mixer', 'hc_head_base', streams)],
    spec('mixer', 'hc_head_scale', 1),
  ];
}

/** Parts of one shape together: the experts of a layer, as they are all treated alike. */
function partsOf(spec: WeightSpec): Pick<ModelTensor, 'name' | 'count' | 'rows' | 'columns'>[] {
  const groups = new Map<string, { name: string; count: number; rows: number; columns: number }>();
  for (const part of spec.parts) {
    const [rows, columns] = matrixOf(part);
    const key = spec.kind === 'experts' ? `${rows}x${columns}` : part.name;
    const group = groups.get(key) ?? { name: part.name, count: 0, rows, columns };
    groups.set(key, { ...group, count: group.count + 1 });
  }
  return [...groups.values()];
}

/** Vectors are columns of one row. */
function matrixOf(part: Part): [rows: number, columns: number] {
  return part.shape.length === 1 ? [1, rowsOf(part)] : [rowsOf(part), part.shape[1] as number];
}

function placeOf(name: string): ModelTensor['place'] {
  const layer = /(?:^|\.)layers\.(\d+)\./.exec(name)?.[1];
  if (layer !== undefined) return Number(layer);
  return /(?:^|\.)embed(?:_tokens)?\.weight$/.test(name) ? 'first' : 'last';
}

function isMatrix(name: string, kind: WeightKind): boolean {
  return (kind === 'matrix' || kind === 'experts') && !name.endsWith('eh_proj.weight');
}

function isCopy(name: string): boolean {
  return /\.(embed_tokens|shared_head\.head)\.weight$/.test(name);
}

function storageOf(name: string, kind: WeightKind, isFp8: boolean, hasFp4Experts: boolean): Storage {
  if (kind === 'table') return 'int64';
  // V4 keeps what chooses and mixes in float32, but for the indexer's weights of heads; so does V3 the bias of its router.
  if (kind === 'routerBias' || (kind === 'mixer' && !name.endsWith('weights_proj.weight'))) return 'float32';
  if (!isFp8 || !isMatrix(name, kind)) return 'bfloat16';
  return kind === 'experts' && hasFp4Experts ? 'fp4' : 'fp8';
}

function divisionOf(name: string, kind: WeightKind): Division {
  if (kind === 'experts' || kind === 'embedding' || kind === 'head') return kind;
  if (name.includes('.indexer.') || name.includes('.compressor.')) return 'none';
  if (/\.(q_proj|q_b_proj|kv_b_proj|wq_b|wo_a|wo_b)\.\w+$|\.o_proj\.weight$/.test(name)) return 'attention';
  if (/\.(k_proj|v_proj)\.\w+$/.test(name)) return 'keyHeads';
  if (/\.(gate_proj|up_proj|w1|w3)\.\w+$|\.(down_proj|w2)\.weight$/.test(name)) return 'feedForward';
  return 'none';
}

function unreachable(value: never): never {
  throw new Error(`expected a known storage, got ${JSON.stringify(value)}`);
}
