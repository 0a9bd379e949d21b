// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
//
// Owns the two forms of one computation: expanded, which rebuilds every head's keys and values from the latent, and
// absorbed, which moves the up-projections to the query and the output and attends over the latent itself. They are
// equal in mathematics and not in bits, so an engine takes one of them for everything it does.

import type { RowDtype } from '@hadal/kernels/rows';
import type { RopeShape } from '@hadal/tensor/gradients';
import type { Graph } from '@hadal/tensor/graph';
import { AdaptedMatrix, addHeadLowRanks } from '@hadal/tensor/low-rank';
import type { Weight } from '@hadal/tensor/packed-matrix';
import { Tensor } from '@hadal/tensor/tensor';
import type { RowStore } from '../architecture.ts';
import { type Part, type WeightSource, type WeightSpec, whole } from '../weight-source.ts';
import { type AttentionMemory, attend } from './attention-memory.ts';
import type { Attention } from './decoder.ts';
import type { KeyPicker, MakeKeyPicker } from './indexer.ts';
import type { RopeTables } from './rotary.ts';

/** The reference normalizes latents with its default, whatever `rms_norm_eps` says of the other norms. */
const latentEps = 1e-6;

export type MlaForm = 'expanded' | 'absorbed';

export interface MlaConfig {
  /** Of the residual stream. */
  readonly width: number;
  /** undefined: queries are projected straight. */
  readonly queryRank: number | undefined;
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly vDim: number;
  readonly kvRank: number;
  /** (nope + rope)^-1/2, times YaRN's square of mscale. */
  readonly softmaxScale: number;
}

export interface MlaWeights {
  /** Through a bottleneck with its own norm, or straight. */
  readonly query:
    | { readonly kind: 'direct'; readonly w: Weight }
    | { readonly kind: 'bottleneck'; readonly down: Weight; readonly norm: Tensor; readonly up: Weight };
  /** The two halves of `kv_a_proj_with_mqa`: [kvRank, D] and [rope, D]. */
  readonly latent: Weight;
  readonly rotaryKey: Weight;
  readonly latentNorm: Tensor;
  /** `kv_b_proj`, [heads * (nope + vDim), kvRank]: packed for the expanded form, plain for the absorbed one. */
  readonly keyValue: Weight;
  readonly out: Weight;
}

/** The weights under `at` (`model.layers.0.self_attn`), laid out for one of the forms. */
export function mlaWeights(source: WeightSource, at: string, config: MlaConfig, form: MlaForm): MlaWeights {
  const { width: D, queryRank, heads, nope, rope, vDim, kvRank } = config;
  const matrix = (name: string, out: number, into: number) =>
    source.matrix(whole('matrix', `${at}.${name}.weight`, out, into));
  const norm = (name: string, width: number) => source.tensor(whole('norm', `${at}.${name}.weight`, width));
  const latentRows = (begin: number, end: number) => {
    const name = `${at}.kv_a_proj_with_mqa.weight`;
    const part: Part = { name, shape: [kvRank + rope, D], rows: [begin, end] };
    return source.matrix({ kind: 'matrix', shape: [end - begin, D], parts: [part] });
  };

  const queryWidth = heads * (nope + rope);
  const keyValue = whole('matrix', `${at}.kv_b_proj.weight`, heads * (nope + vDim), kvRank);
  return {
    query:
      queryRank === undefined
        ? { kind: 'direct', w: matrix('q_proj', queryWidth, D) }
        : {
            kind: 'bottleneck',
            down: matrix('q_a_proj', queryRank, D),
            norm: norm('q_a_layernorm', queryRank),
            up: matrix('q_b_proj', queryWidth, queryRank),
          },
    latent: latentRows(0, kvRank),
    rotaryKey: latentRows(kvRank, kvRank + rope),
    latentNorm: norm('kv_a_layernorm', kvRank),
    keyValue: form === 'expanded' ? source.matrix(keyValue) : unpackedMatrix(source, keyValue),
    out: matrix('o_proj', D, heads * vDim),
  };
}

function unpackedMatrix(source: WeightSource, spec: WeightSpec): Weight {
  const [tensor, lowRanks] = [source.tensor(spec), source.lowRanks?.(spec)];
  return lowRanks ? new AdaptedMatrix(tensor, lowRanks) : tensor;
}

/** What one layer keeps of a token; absorbed, the keys' first `kvRank` values are the values. */
export function mlaCache(
  { heads, nope, rope, vDim, kvRank }: MlaConfig,
  form: MlaForm,
  dtype: RowDtype,
): Record<string, RowStore> {
  return form === 'expanded'
    ? { keys: { width: heads * (nope + rope), dtype }, values: { width: heads * vDim, dtype } }
    : { keys: { width: kvRank + rope, dtype } };
}

/**
 * The expanded form does fewer operations for each key, the absorbed one reads fewer bytes: (rank + rope) instead of
 * heads * (nope + rope + v). Small models decode from the processor's cache and take the first.
 */
export function preferredMlaForm({ heads, nope, rope, vDim, kvRank }: MlaConfig): MlaForm {
  return heads * (nope + rope + vDim) <= 8 * (kvRank + rope) ? 'expanded' : 'absorbed';
}

/** The attention of one layer, over the weights under `at` (`model.layers.0.self_attn`), to all keys or to those picked. */
export function latentAttention(
  source: WeightSource,
  at: string,
  layer: number,
  config: MlaConfig,
  form: MlaForm,
  tables: RopeTables,
  makeKeyPicker?: MakeKeyPicker,
): Attention {
  const w = mlaWeights(source, at, config, form);
  const pick = makeKeyPicker?.(at, layer, tables);
  const mla = mlaForms[form];
  return (g, x, positions, memory) => mla(g, layer, w, x, positions, tables, memory, config, pick);
}

/** x [N, D] to [N, D]; a function for each form, `mlaWeights` of the same form. */
export type Mla = (
  g: Graph,
  layer: number,
  w: MlaWeights,
  x: Tensor,
  positions: Tensor,
  tables: RopeTables,
  memory: AttentionMemory,
  config: MlaConfig,
  pick?: KeyPicker,
) => Tensor;

const expandedMla: Mla = (g, layer, w, x, positions, tables, memory, config, pick) => {
  const { heads, nope, rope, vDim } = config;
  const { q, queryLatent, c, kPe } = project(g, w, x, positions, tables, config);
  const { k, v } = g.assembleKeys(g.linear(c, w.keyValue), kPe, { heads, nope, rope, vDim });
  const picks = pick?.(g, x, queryLatent, positions, memory);
  const shape = { H: heads, Hkv: heads, dk: nope + rope, dv: vDim, scale: config.softmaxScale };
  return g.linear(attend(g, memory, layer, q, k, v, shape, picks), w.out);
};

const absorbedMla: Mla = (g, layer, w, x, positions, tables, memory, config, pick) => {
  const { heads, nope, rope, vDim, kvRank } = config;
  const { q, queryLatent, c, kPe } = project(g, w, x, positions, tables, config);
  const [adapted, keyValue] =
    w.keyValue instanceof AdaptedMatrix ? [w.keyValue, w.keyValue.base] : [undefined, w.keyValue];
  if (!(keyValue instanceof Tensor)) throw new Error('absorbed attention needs kv_b_proj unpacked');
  const keys = { heads, wHeadStride: (nope + vDim) * kvRank };
  const values = new Tensor(keyValue.handle, keyValue.offset + nope * kvRank, [keyValue.length - nope * kvRank]);

  // q . (W_k c) = (W_kT q) . c: the query moves into the latent's space, head by head.
  const intoLatent = { ...keys, inDim: nope, outDim: kvRank, xHeadStride: nope + rope, transposed: false };
  const qLatent = g.headLinear(q, keyValue, intoLatent);
  if (adapted) addHeadLowRanks(g, adapted, q, qLatent, { ...intoLatent, firstRow: 0 });
  const query = interleaveHeads(g, qLatent, q, config);
  const latent = g.concat(c, kPe);
  const width = kvRank + rope;
  const picks = pick?.(g, x, queryLatent, positions, memory);
  const shape = { H: heads, Hkv: 1, dk: width, dv: kvRank, scale: config.softmaxScale, kStride: width, vStride: width };
  const mixed = attend(g, memory, layer, query, latent, latent, shape, picks);

  const outOfLatent = { ...keys, inDim: kvRank, outDim: vDim, xHeadStride: kvRank, transposed: true };
  const out = g.headLinear(mixed, values, outOfLatent);
  if (adapted) addHeadLowRanks(g, adapted, mixed, out, { ...outOfLatent, firstRow: nope });
  return g.linear(out, w.out);
};

export const mlaForms: Readonly<Record<MlaForm, Mla>> = { expanded: expandedMla, absorbed: absorbedMla };

/**
 * Rotated queries [N, heads * (nope + rope)] and what they were projected from, the normed latent [N, kvRank] and the
 * rotated shared key [N, rope].
 */
function project(g: Graph, w: MlaWeights, x: Tensor, positions: Tensor, tables: RopeTables, config: MlaConfig) {
  const { heads, nope, rope } = config;
  const { query } = w;
  const queryLatent = query.kind === 'direct' ? x : g.rmsNorm(g.linear(x, query.down), query.norm, latentEps);
  const q = g.linear(queryLatent, query.kind === 'direct' ? query.w : query.up);
  const turn = (t: Tensor, shape: Pick<RopeShape, 'heads' | 'headDim'>) =>
    g.rope(t, positions, { ...shape, ropeDim: rope, ...tables });
  return {
    q: turn(q, { heads, headDim: nope + rope }),
    queryLatent,
    c: g.rmsNorm(g.linear(x, w.latent), w.latentNorm, latentEps),
    kPe: turn(g.linear(x, w.rotaryKey), { heads: 1, headDim: rope }),
  };
}

/** [N, heads * (kvRank + rope)]: each head's query in the latent's space, then its rotated part. */
function interleaveHeads(g: Graph, qLatent: Tensor, q: Tensor, config: MlaConfig): Tensor {
  const { heads, nope, rope, kvRank } = config;
  const rows = q.rows * heads;
  const out = g.arena.take([rows, kvRank + rope]);
  g.copyColumns(new Tensor(qLatent.handle, qLatent.offset, [rows, kvRank]), 0, out, 0, kvRank, 'write');
  g.copyColumns(new Tensor(q.handle, q.offset, [rows, nope + rope]), nope, out, kvRank, rope, 'write');
  return new Tensor(out.handle, out.offset, [q.rows, heads * (kvRank + rope)]);
}
