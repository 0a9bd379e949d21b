// The weights of a GGUF file under the names and in the layouts of Hugging Face.
//
// Owns where llama.cpp keeps what an architecture asks for, and how its converters have rearranged it: experts merged into
// one tensor, the rows of Llama's queries and keys in another order, and latent attention's up-projection divided. Whoever
// loads weights sees none of it. Decoding of blocks is `blocks`.

import { floatsOf } from '../float16.ts';
import type { StoredWeight, StoredWeights } from '../stored-weights.ts';
import { decodeBlocks, isBlockType } from './blocks.ts';
import type { GgufFile, GgufTensor } from './gguf-file.ts';

export interface GgufSizes {
  readonly architecture: string;
  readonly heads: number;
  readonly keyHeads: number;
}

/** How a weight is made of tensors of the file. */
type Origin =
  | { readonly kind: 'whole'; readonly name: string }
  /** One of the matrices of a tensor with three axes, or some rows of it. */
  | { readonly kind: 'expert'; readonly name: string; readonly index: number; readonly half?: 0 | 1 }
  /** Rows that llama.cpp has ordered as its rotation wants them: of each head, pairs instead of halves. */
  | { readonly kind: 'paired'; readonly name: string; readonly heads: number }
  /** Keys' and values' up-projections, apart: [H, rank, nope] and [H, vDim, rank] for [H * (nope + vDim), rank]. */
  | { readonly kind: 'latent'; readonly keys: string; readonly values: string };

export function ggufWeights(file: GgufFile, sizes: GgufSizes): StoredWeights {
  function originOf(name: string): Origin | undefined {
    return candidates(name, sizes).find((origin) =>
      origin.kind === 'latent' ? file.has(origin.keys) && file.has(origin.values) : file.has(origin.name),
    );
  }

  function find(name: string): StoredWeight {
    const origin = originOf(name);
    if (origin === undefined) {
      const names = candidates(name, sizes).map((one) => (one.kind === 'latent' ? one.keys : one.name));
      throw new Error(`${name}: expected as ${names.join(' or ') || 'a tensor that GGUF has'}, absent in ${file.path}`);
    }
    switch (origin.kind) {
      case 'whole':
        return inPlace(name, file.find(origin.name));
      case 'expert':
        return inPlace(name, expert(file.find(origin.name), origin));
      case 'paired':
        return { ...inPlace(name, file.find(origin.name)), encoding: { kind: 'rearranged' } };
      case 'latent': {
        const [keys, values] = [file.find(origin.keys), file.find(origin.values)];
        const [heads, rank, nope] = keys.shape as [number, number, number];
        const shape = [heads * (nope + (values.shape[1] as number)), rank];
        return { ...inPlace(name, keys), shape, encoding: { kind: 'rearranged' } };
      }
      default:
        return unreachable(origin);
    }
  }

  function readFloat32(weight: StoredWeight, rows?: readonly [number, number]): Float32Array<ArrayBuffer> {
    const [begin, end] = rows ?? [0, weight.shape[0] ?? 1];
    const origin = originOf(weight.name) as Origin;
    switch (origin.kind) {
      case 'whole':
        return readRows(file, file.find(origin.name), begin, end);
      case 'expert':
        return readRows(file, expert(file.find(origin.name), origin), begin, end);
      case 'paired':
        return readPaired(file, file.find(origin.name), origin.heads, begin, end);
      case 'latent':
        return readLatent(file, file.find(origin.keys), file.find(origin.values), begin, end);
      default:
        return unreachable(origin);
    }
  }

  function readIntegers(name: string): never {
    throw new Error(`${name}: expected a table of whole numbers, which no GGUF file has: ${file.path}`);
  }

  return { path: file.path, has: (name) => originOf(name) !== undefined, find, readFloat32, readIntegers };
}

function inPlace(name: string, tensor: GgufTensor): StoredWeight {
  const { type, shape } = tensor;
  const encoding = isBlockType(type) ? ({ kind: 'blocks', type } as const) : ({ kind: 'plain', dtype: type } as const);
  return { name, shape, entry: tensor, encoding };
}

/** Where Hugging Face's name may be in the file, the likeliest first. */
function candidates(name: string, sizes: GgufSizes): Origin[] {
  const top = topNames[name];
  if (top !== undefined) return [{ kind: 'whole', name: top }];
  const [, layer, rest = ''] = /^model\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  if (layer === undefined) return [];
  const at = `blk.${layer}.`;
  const [, index, projection] = /^mlp\.experts\.(\d+)\.(gate|up|down)_proj\.weight$/.exec(rest) ?? [];
  if (index !== undefined && projection !== undefined) {
    const merged: Origin = { kind: 'expert', name: `${at}ffn_${projection}_exps.weight`, index: Number(index) };
    if (projection === 'down') return [merged];
    const half = projection === 'gate' ? 0 : 1;
    return [merged, { kind: 'expert', name: `${at}ffn_gate_up_exps.weight`, index: Number(index), half }];
  }
  if (rest === 'self_attn.kv_b_proj.weight') {
    const whole: Origin = { kind: 'whole', name: `${at}attn_kv_b.weight` };
    return [whole, { kind: 'latent', keys: `${at}attn_k_b.weight`, values: `${at}attn_v_b.weight` }];
  }
  const [, module = '', parameter = ''] = /^(.*)\.(weight|bias)$/.exec(rest) ?? [];
  if (rest === 'mlp.gate.e_score_correction_bias') return [{ kind: 'whole', name: `${at}exp_probs_b.bias` }];
  const ours = layerNames[module];
  if (ours === undefined) return [];
  const found = `${at}${ours}.${parameter}`;
  if (sizes.architecture === 'llama' && (ours === 'attn_q' || ours === 'attn_k')) {
    return [{ kind: 'paired', name: found, heads: ours === 'attn_q' ? sizes.heads : sizes.keyHeads }];
  }
  return [{ kind: 'whole', name: found }];
}

const topNames: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

const layerNames: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_a_proj': 'attn_q_a',
  'self_attn.q_a_layernorm': 'attn_q_a_norm',
  'self_attn.q_b_proj': 'attn_q_b',
  'self_attn.kv_a_proj_with_mqa': 'attn_kv_a_mqa',
  'self_attn.kv_a_layernorm': 'attn_kv_a_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  'mlp.gate': 'ffn_gate_inp',
  'mlp.shared_experts.gate_proj': 'ffn_gate_shexp',
  'mlp.shared_experts.up_proj': 'ffn_up_shexp',
  'mlp.shared_experts.down_proj': 'ffn_down_shexp',
};

/** The matrix of one expert in [experts, out, in], or of gate or up in [experts, gate and up, in]. */
function expert(tensor: GgufTensor, { index, half }: Extract<Origin, { kind: 'expert' }>): GgufTensor {
  const [experts = 1, out = 1, width = 1] = tensor.shape;
  const bytes = (tensor.end - tensor.begin) / experts;
  const [rows, part] = half === undefined ? [out, bytes] : [out / 2, bytes / 2];
  const begin = tensor.begin + index * bytes + (half ?? 0) * part;
  return { ...tensor, shape: [rows, width], begin, end: begin + part };
}

/** Rows `begin` to `end` along the first axis. */
function readRows(file: GgufFile, tensor: GgufTensor, begin: number, end: number): Float32Array<ArrayBuffer> {
  const row = (tensor.end - tensor.begin) / (tensor.shape[0] ?? 1);
  const bytes = file.read(tensor, begin * row, end * row);
  return isBlockType(tensor.type) ? decodeBlocks(tensor.type, bytes) : floatsOf(bytes, tensor.type);
}

/** In the file, a head's rows 2 i and 2 i + 1 are what Hugging Face has at i and i + half the head. */
function readPaired(file: GgufFile, tensor: GgufTensor, heads: number, begin: number, end: number) {
  const headRows = (tensor.shape[0] as number) / heads;
  const half = headRows / 2;
  const firstHead = Math.floor(begin / headRows);
  const paired = readRows(file, tensor, firstHead * headRows, Math.ceil(end / headRows) * headRows);
  const width = (tensor.shape[1] ?? 1) as number;
  const out = new Float32Array((end - begin) * width);
  for (let row = begin; row < end; row++) {
    const inHead = row % headRows;
    const source = row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1) - firstHead * headRows;
    out.set(paired.subarray(source * width, (source + 1) * width), (row - begin) * width);
  }
  return out;
}

/** Head by head, the rows of its keys, which the file has transposed, and the rows of its values. */
function readLatent(file: GgufFile, keys: GgufTensor, values: GgufTensor, begin: number, end: number) {
  const [, rank, nope] = keys.shape as [number, number, number];
  const headRows = nope + (values.shape[1] as number);
  const firstHead = Math.floor(begin / headRows);
  const lastHead = Math.ceil(end / headRows);
  const [k, v] = [readRows(file, keys, firstHead, lastHead), readRows(file, values, firstHead, lastHead)];
  const out = new Float32Array((end - begin) * rank);
  for (let row = begin; row < end; row++) {
    const head = Math.floor(row / headRows) - firstHead;
    const inHead = row % headRows;
    const o = (row - begin) * rank;
    if (inHead < nope) {
      for (let r = 0; r < rank; r++) out[o + r] = k[(head * rank + r) * nope + inHead] as number;
    } else {
      const source = (head * (headRows - nope) + inHead - nope) * rank;
      out.set(v.subarray(source, source + rank), o);
    }
  }
  return out;
}

function unreachable(value: never): never {
  throw new Error(`expected a known origin, got ${JSON.stringify(value)}`);
}
