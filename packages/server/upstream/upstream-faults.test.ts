import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestError } from '@hadal/protocol/request-error';
import fc from 'fast-check';
import { chatRequest, providerAt, startFakeUpstream, streamAnswer } from '../testing/fake-upstream.ts';
import { type Fault, startFaultProxy } from '../testing/fault-proxy.ts';

// Whatever the wire does, a caller gets all of the answer or an error, and no output is ever paid for twice.

const texts = ['Grüße ', 'aus ', '杭州', ', und ', 'ein ', 'Ende.'];
const whole = texts.join('');
const never = new AbortController().signal;

interface Outcome {
  readonly text: string;
  readonly isWhole: boolean;
  readonly error: unknown;
  /** Requests that the upstream was sent. */
  readonly requests: number;
  /** Of them, those there were when the caller read the first word; undefined where none was read. */
  readonly requestsAtFirst: number | undefined;
  readonly faults: readonly Fault[];
  /** What came over the wire, connection by connection. */
  readonly delivered: readonly string[];
}

async function ask(faults: readonly Fault[], timeouts = { firstTokenMs: 150, betweenTokensMs: 150 }): Promise<Outcome> {
  await using fake = await startFakeUpstream((response) =>
    streamAnswer(response, [{ role: 'assistant' }, ...texts.map((content) => ({ content }))]),
  );
  await using proxy = await startFaultProxy(fake.port, faults);
  await using provider = providerAt([proxy.url, proxy.url], { timeouts }, { random: () => 0 });
  let text = '';
  let isWhole = false;
  let error: unknown;
  let requestsAtFirst: number | undefined;
  try {
    for await (const event of provider.chat(chatRequest(), never)) {
      if (event.type === 'content') {
        text += event.text;
        requestsAtFirst ??= fake.requests.length;
      }
      if (event.type === 'finish') isWhole = event.reason === 'stop';
    }
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(provider.status().every(({ running }) => running === 0));
  const delivered = proxy.delivered.map((bytes) => bytes.toString('utf8'));
  return { text, isWhole, error, requests: fake.requests.length, requestsAtFirst, faults, delivered };
}

/** Whether the first word has come over the wire, whole and with nothing garbled before it. */
const hasBegun = (delivered: string) => /^[^\ufffd]*?"content":"[^"\ufffd]+"\}\}\]\}\n\n/.test(delivered);

function check({ text, isWhole, error, requests, requestsAtFirst, faults, delivered }: Outcome): void {
  if (isWhole) assert.equal(text, whole);
  else {
    assert.ok(error instanceof RequestError, String(error));
    assert.ok(['upstream-failed', 'upstream-unavailable'].includes(error.code), error.code);
    assert.ok(whole.startsWith(text), text);
  }
  if (requestsAtFirst !== undefined) assert.equal(requests, requestsAtFirst, 'no request after output was read');
  // A reset may take with it what has come; connections are made one after another here, one for each request.
  const begun = delivered.findIndex((bytes, number) => faults[number]?.type !== 'reset' && hasBegun(bytes));
  if (begun >= 0) assert.equal(requests, begun + 1, 'no request after output has begun');
  assert.ok(requests <= 3);
}

test('without a fault, late or in pieces of a few bytes, the answer is whole', async () => {
  const patient = { firstTokenMs: 5_000, betweenTokensMs: 5_000 };
  for (const fault of [
    { type: 'none' },
    { type: 'delay', ms: 30 },
    { type: 'drip', bytes: 1 },
    { type: 'drip', bytes: 7 },
  ] as const) {
    const outcome = await ask([fault], patient);
    check(outcome);
    assert.deepEqual([outcome.isWhole, outcome.requests], [true, 1]);
  }
});

test('a wire that is cut, reset, stalled or garbled at any byte gives all of the answer or an error, and no second output', async () => {
  const { delivered } = await ask([{ type: 'none' }], { firstTokenMs: 5_000, betweenTokensMs: 5_000 });
  const length = Buffer.byteLength(delivered[0] as string);
  const at = fc.nat(length);
  const fault: fc.Arbitrary<Fault> = fc.oneof(
    { weight: 4, arbitrary: at.map((place): Fault => ({ type: 'cut', at: place })) },
    { weight: 4, arbitrary: at.map((place): Fault => ({ type: 'reset', at: place })) },
    { weight: 4, arbitrary: at.map((place): Fault => ({ type: 'garble', at: place })) },
    { weight: 1, arbitrary: at.map((place): Fault => ({ type: 'stall', at: place })) },
    { weight: 1, arbitrary: fc.constant<Fault>({ type: 'none' }) },
  );
  const seen = { whole: 0, error: 0, again: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { minLength: 1, maxLength: 3 }), async (faults) => {
      const outcome = await ask(faults);
      check(outcome);
      seen[outcome.isWhole ? 'whole' : 'error']++;
      if (outcome.requests > 1) seen.again++;
    }),
    { numRuns: 120 },
  );
  // The faults reach every kind of end.
  assert.ok(
    Object.values(seen).every((count) => count > 3),
    JSON.stringify(seen),
  );
});
