// What a configuration file can say of upstreams.
//
// Owns the schema of one, and what holds where it says nothing. A key is named by the variable that has it, which only an app may
// read. Knows nothing of the rest of the file.

import { expecting, integer } from '@hadal/protocol/sampling-fields';
import { z } from 'zod';
import { flavours } from './upstream-flavour.ts';
import type { Upstream } from './upstream-provider.ts';

/** An upstream whose keys are not known yet. */
export interface ConfiguredUpstream extends Omit<Upstream, 'servers'> {
  readonly servers: readonly {
    readonly url: string;
    /** The variable that has the key; undefined: none is needed. */
    readonly keyEnv: string | undefined;
    readonly concurrency: number;
  }[];
  /** A checkpoint whose tokenizer counts what the servers do not; undefined: our own model's. */
  readonly tokenizer: string | undefined;
}

const seconds = expecting('number of seconds above 0');
const duration = z.number(seconds).gt(0, seconds);
const address = expecting('URL that begins with http:// or https://');
const variable = expecting('name of a variable');
const tokens = integer(1, Number.MAX_SAFE_INTEGER);
const temperature = expecting('number from 0 to 2');
const topP = expecting('number above 0 and at most 1');

export const upstreamSchema = z.strictObject({
  model: z.string().optional(),
  flavour: z.enum(flavours).optional(),
  context_window: tokens.optional(),
  max_output_tokens: tokens.optional(),
  thinking: z.enum(['off', 'high']).optional(),
  temperature: z.number(temperature).min(0, temperature).max(2, temperature).optional(),
  top_p: z.number(topP).gt(0, topP).max(1, topP).optional(),
  reasoning_in_content: z.boolean().optional(),
  fill_middle: z.enum(['suffix', 'tokens', 'none']).optional(),
  timeouts: z
    .strictObject({
      connect_seconds: duration.optional(),
      first_token_seconds: duration.optional(),
      between_tokens_seconds: duration.optional(),
      total_seconds: duration.optional(),
      queue_seconds: duration.optional(),
    })
    .optional(),
  health_seconds: duration.optional(),
  attempts: integer(1, 10).optional(),
  max_waiting: integer(0, Number.MAX_SAFE_INTEGER).optional(),
  breaker: z
    .strictObject({ failures: integer(1, Number.MAX_SAFE_INTEGER).optional(), open_seconds: duration.optional() })
    .optional(),
  tokenizer: z.string().optional(),
  servers: z
    .array(
      z.strictObject({
        url: z
          .string(address)
          .regex(/^https?:\/\/[\w.[\]:-]+(\/\S*)?$/, address)
          .refine(URL.canParse, address),
        key_env: z
          .string()
          .regex(/^[A-Za-z_]\w*$/, variable)
          .optional(),
        concurrency: integer(1, Number.MAX_SAFE_INTEGER).optional(),
      }),
    )
    .min(1, expecting('at least one server')),
});

/** Where it says nothing, these hold. */
const usual = {
  ...{ temperature: 1, topP: 1, concurrency: 64, maxWaiting: 1000, attempts: 3 },
  ...{ connect: 5, firstToken: 600, betweenTokens: 60, queue: 600, health: 10 },
  ...{ breakerFailures: 3, breakerOpen: 10 },
};

export function upstreamOf(id: string, wire: z.infer<typeof upstreamSchema>): ConfiguredUpstream {
  const { timeouts = {}, breaker = {} } = wire;
  return {
    ...{ id, model: wire.model ?? id, flavour: wire.flavour },
    ...{ contextWindow: wire.context_window, maxOutputTokens: wire.max_output_tokens },
    thinking: wire.thinking ?? 'high',
    ...{ temperature: wire.temperature ?? usual.temperature, topP: wire.top_p ?? usual.topP },
    ...{ beginsInThought: wire.reasoning_in_content ?? false, fillMiddle: wire.fill_middle },
    timeouts: {
      connectMs: ms(timeouts.connect_seconds ?? usual.connect),
      firstTokenMs: ms(timeouts.first_token_seconds ?? usual.firstToken),
      betweenTokensMs: ms(timeouts.between_tokens_seconds ?? usual.betweenTokens),
      totalMs: timeouts.total_seconds === undefined ? undefined : ms(timeouts.total_seconds),
      queueMs: ms(timeouts.queue_seconds ?? usual.queue),
    },
    tokenizer: wire.tokenizer,
    healthIntervalMs: ms(wire.health_seconds ?? usual.health),
    ...{ attempts: wire.attempts ?? usual.attempts, maxWaiting: wire.max_waiting ?? usual.maxWaiting },
    breaker: {
      failures: breaker.failures ?? usual.breakerFailures,
      openMs: ms(breaker.open_seconds ?? usual.breakerOpen),
    },
    servers: wire.servers.map(({ url, key_env, concurrency }) => ({
      ...{ url, keyEnv: key_env, concurrency: concurrency ?? usual.concurrency },
    })),
  };
}

function ms(count: number): number {
  return count * 1000;
}
