// What tests ask a toy server, and how.
//
// Owns the request that most of them begin with, the official client, and waiting for what happens on the other side. Never used
// outside tests.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { dsml } from '@hadal/formats/special-tokens';
import OpenAI from 'openai';
import type { ToyServer } from './serve-toy.ts';

export const hello = { model: 'toy', messages: [{ role: 'user' as const, content: 'Hello' }] };
export const calm = { thinking: { type: 'disabled' } } as object;

export const callText = (name: string, city: string) =>
  `\n\n<${dsml}tool_calls>\n<${dsml}invoke name="${name}">\n` +
  `<${dsml}parameter name="city" string="true">${city}</${dsml}parameter>\n` +
  `</${dsml}invoke>\n</${dsml}tool_calls>`;

export const weather = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'Weather in a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

/** The official client, unmodified; `base` is the path that the API stands under. */
export function clientOf(toy: ToyServer, base = ''): OpenAI {
  return new OpenAI({ baseURL: toy.server.url + base, apiKey: 'any', maxRetries: 0 });
}

/** Polls until `isSo`, for a second. */
export async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !isSo(); i++) await delay(10);
  assert.ok(isSo(), `expected within a second: ${isSo}`);
}

export function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
  path = '/chat/completions',
): Promise<Response> {
  return fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}
