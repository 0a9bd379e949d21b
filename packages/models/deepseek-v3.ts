// DeepSeek-V3 and R1 (arXiv 2412.19437): `deepseek_v3`.
//
// Owns what is V3's alone: sigmoid scores with a bias that balances load, groups ranked by their two best experts, and the
// multi-token prediction module. Block and latent attention are those of `latent-mixture`. Training and inference run the
// same code: what differs (form of attention, memory of keys, tape) arrives as arguments.

import { z } from 'zod';
import type { Architecture, AssembleOptions, Network, Predictor } from './architecture.ts';
import { parseConfig } from './configuration.ts';
import {
  type LatentMixtureConfig,
  latentMixtureBlocks,
  latentMixtureConfig,
  latentMixtureKeys,
  latentMixtureModel,
  type RouterChoice,
} from './latent-mixture.ts';
import { type Block, type Decoder, decoder, forwardBlock } from './layers/decoder.ts';
import type { MakeKeyPicker } from './layers/indexer.ts';
import { type WeightSource, whole } from './weight-source.ts';

export const deepseekV3: Architecture = {
  className: 'DeepseekV3ForCausalLM',
  define: (json, where) => latentMixtureModel(parseDeepseekV3Config(json, where), assembleDeepseekV3),
};

export interface DeepseekV3Config extends LatentMixtureConfig {
  /** Multi-token prediction modules; 0 or 1. */
  readonly predictors: number;
}

const wireConfig = z.object({
  ...latentMixtureKeys,
  norm_topk_prob: z.boolean().default(true),
  scoring_func: z.literal('sigmoid').default('sigmoid'),
  topk_method: z.literal('noaux_tc').default('noaux_tc'),
  rope_interleave: z.boolean().default(true),
  num_nextn_predict_layers: z.int().min(0).max(1).default(0),
});

/** Reads config.json; throws an error that names `where` and the key. */
export function parseDeepseekV3Config(json: unknown, where: string): DeepseekV3Config {
  const c = parseConfig(wireConfig, json, where);
  const choice: RouterChoice = {
    grouping: 'limited',
    scoring: 'sigmoid',
    groupScore: 'top2sum',
    normalize: c.norm_topk_prob,
    bias: 'byLoad',
  };
  const ropeStyle = c.rope_interleave ? 'interleaved' : 'half';
  return { ...latentMixtureConfig(c, choice, ropeStyle, json, where), predictors: c.num_nextn_predict_layers };
}

/** The network, whose attention sees all keys or, with `makeKeyPicker`, those that are picked (V3.2). */
export function assembleDeepseekV3(
  config: DeepseekV3Config,
  source: WeightSource,
  options: AssembleOptions,
  makeKeyPicker?: MakeKeyPicker,
): Network {
  const block = latentMixtureBlocks(config, source, options, makeKeyPicker);
  const main = decoder(source, config, block);
  const isAhead = options.predictor === 'present' && config.predictors > 0;
  const predictor = isAhead ? assemblePredictor(config, source, main, block) : undefined;
  const blocks = predictor ? [...main.blocks, predictor.block] : main.blocks;
  return {
    head: main.head,
    forward: main.forward,
    predictor: predictor?.module,
    routers: blocks.flatMap(({ feedForward }) => feedForward.router ?? []),
  };
}

/**
 * The module that predicts the token after the next (section 2.2): one more block over the hidden state and the next
 * token. We take the hidden state after the final norm, as the golden does; the report leaves it open (DeepSeek-V3
 * issue 839).
 */
function assemblePredictor(
  { width: D, vocabularySize: V, layers, eps }: DeepseekV3Config,
  source: WeightSource,
  main: Decoder,
  makeBlock: (layer: number) => Block,
): { module: Predictor; block: Block } {
  const at = `model.layers.${layers}`;
  const norm = (name: string) => source.tensor(whole('norm', `${at}.${name}.weight`, D));
  // Released checkpoints repeat the embedding and the head here; ours share them and leave the copies out.
  const embeddingName = `${at}.embed_tokens.weight`;
  const headName = `${at}.shared_head.head.weight`;
  const embedding = source.has(embeddingName) ? source.matrix(whole('embedding', embeddingName, V, D)) : main.embedding;
  const embeddingNorm = norm('enorm');
  const hiddenNorm = norm('hnorm');
  const join = source.matrix(whole('matrix', `${at}.eh_proj.weight`, D, 2 * D));
  const block = makeBlock(layers);
  const lastNorm = norm('shared_head.norm');
  const head = source.has(headName) ? source.matrix(whole('head', headName, V, D)) : main.head;
  const module: Predictor = {
    prefix: `${at}.`,
    head,
    forward(g, hidden, nextIds, positions, memory) {
      const next = g.rmsNorm(g.embedding(embedding, nextIds), embeddingNorm, eps);
      const here = g.rmsNorm(hidden, hiddenNorm, eps);
      const x = g.linear(g.concat(next, here), join);
      const updated = g.update(x, (stream) => forwardBlock(g, block, stream, positions, memory, eps));
      return g.rmsNorm(updated, lastNorm, eps);
    },
  };
  return { module, block };
}
