import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainRequest } from '@hadal/engine/engine';
import { openDevice } from '@hadal/kernels/device';
import { initialize } from './initialize.ts';
import { RolloutEngine } from './rollout-engine.ts';
import { characterTokenizer, toyMixture, toyOptimizer, toyQwen2 } from './testing/toy-models.ts';
import { Trainer } from './trainer.ts';

for (const [name, definition] of [
  ['a mixture of experts', toyMixture],
  ['a dense model', toyQwen2],
] as const) {
  test(`${name}: the log-probabilities of sampled tokens are the trainer's, bit for bit, before and after an update`, async () => {
    using device = openDevice({ threads: 2 });
    using trainer = new Trainer(device, definition, { optimizer: toyOptimizer, clipNorm: 1, contextLength: 128 });
    initialize(device, trainer.parameters, 'rollouts', 0.3);
    const { parameters } = trainer;
    using engine = new RolloutEngine({
      ...{ device, definition, parameters, tokenizer: characterTokenizer, contextLength: 128, cacheBytes: 2 ** 24 },
    });
    for (const round of [1, 2]) {
      const prompts = [[5, 6, 7], [9], Array.from({ length: 70 }, (_, i) => i % 60), [5, 6, 7, 8, 9, 10, 11]];
      const rollouts = await Promise.all(
        prompts.map(async (prompt, i) => {
          const request = {
            ...plainRequest,
            prompt,
            maxTokens: 20 + i,
            temperature: 1,
            topLogprobs: 0,
            seed: i + round,
          };
          const [tokens, logprobs]: number[][] = [[...prompt], []];
          for await (const event of engine.generate(request)) {
            if (event.type !== 'token') continue;
            tokens?.push(event.id);
            logprobs?.push(event.logprob);
          }
          return {
            tokens: tokens as number[],
            logprobs: Float32Array.from(logprobs as number[]),
            prompt: prompt.length,
          };
        }),
      );
      const documents = rollouts.map(({ tokens, prompt }) => ({
        tokens,
        weights: tokens.map((_, t) => (t < prompt ? 0 : 1)),
      }));
      const row = { documents, tokens: documents.reduce((sum, one) => sum + one.tokens.length, 0) };
      assert.deepEqual(
        trainer.logprobs(row),
        rollouts.map(({ logprobs }) => logprobs),
      );
      trainer.step(
        round,
        { rows: [row] },
        { learningRates: { adamw: 0.01, muon: 0.01 }, predictorWeight: 0, balanceRate: 0 },
      );
      engine.refresh();
    }
  });
}
