import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DeploymentRequest, demandOf, fleetSizes, pagesOf, planDeployment } from './deployment-plan.ts';
import { parseFleet } from './gpu-fleet.ts';
import { gpusOf } from './layout.ts';
import { findPublishedModel } from './published-models.ts';
import { type ServedModel, servedModel } from './served-model.ts';

const GiB = 2 ** 30;

test('what is published to fit, fits; what is published to need more, does not', () => {
  const cases = [
    // SGLang's table of recommended settings for V3, V3.1 and R1, and what is half of each.
    ['V3', 'sglang', '8xH200', 'published', true],
    ['V3', 'sglang', '8xB200', 'published', true],
    ['R1', 'sglang', '2x8xH100', 'published', true],
    ['R1', 'sglang', '2x8xH20', 'published', true],
    ['R1', 'sglang', '8xH100', 'published', false],
    ['V3', 'sglang', '2x8xH200', 'bf16', true],
    ['V3', 'sglang', '8xH200', 'bf16', false],
    ['V3', 'sglang', '4x8xA100-80G', 'bf16', true],
    ['V3', 'sglang', '2x8xA100-80G', 'bf16', false],
    ['V3', 'sglang', '8xA100-80G', 'awq', true],
    // vLLM's recipes.
    ['R1-0528', 'vllm', '8xH200', 'published', true],
    ['V4-Flash', 'vllm', '4xB200', 'published', true],
    ['V4-Flash', 'vllm', '1xH200', 'published', false],
    ['V4-Pro', 'vllm', '8xB200', 'published', true],
    ['V4-Pro', 'sglang', '8xH200', 'published', true],
    ['V4-Flash', 'sglang', '4xH200', 'published', true],
    ['V4-Flash', 'sglang', '2xRTX-PRO-6000', 'published', true],
    // A distill in bfloat16 on one card of 80 GB, with less than its whole context, and with it on two.
    ['R1-Distill-Qwen-32B', 'vllm', '1xA100-80G', 'published', true],
    ['R1-Distill-Qwen-32B', 'vllm', '1xL40S', 'published', false],
    ['R1-Distill-Llama-70B', 'vllm', '1xH100', 'published', false],
    ['R1-Distill-Llama-70B', 'vllm', '4xH100', 'published', true],
  ] as const;
  for (const [name, engine, fleet, quantization, fits] of cases) {
    const plan = planDeployment(request(name, fleet, { engine, quantization }));
    assert.equal(plan.kind, fits ? 'fits' : 'refused', `${name} ${engine} ${fleet} ${quantization}`);
  }
});

test("a rank's weights are what vLLM logs, less the quarter of a GiB that it allocates while it loads", () => {
  const logged = [
    ['R1-Distill-Qwen-32B', '2xH20', 30.73],
    ['R1-Distill-Qwen-14B', '2xRTX-4090', 13.95],
    ['V2-Lite', '8xA100-40G', 3.97],
  ] as const;
  for (const [name, fleet, gib] of logged) {
    const { rank } = fitting(request(name, fleet));
    const rest = gib - rank.weights / GiB;
    assert.ok(rest > 0 && rest < 0.26, `${name}: ${rest}`);
  }
});

test('what is left for the cache is what vLLM logs, within the slack of an estimate', () => {
  // R1-Distill-Qwen-32B on two H20 at 0.90, which read 2,048 tokens at a time: 53.2 GiB.
  const { rank } = fitting(request('R1-Distill-Qwen-32B', '2xH20'));
  assert.ok(Math.abs(rank.free / GiB - 53.19) < 3, `${rank.free / GiB}`);
  // R1-Distill-Qwen-14B on two 4090 at 0.98: 81,536 tokens (vLLM issue 13061).
  const small = fitting(request('R1-Distill-Qwen-14B', '2xRTX-4090', { users: 1, utilization: 0.98 }));
  assert.ok(Math.abs(small.largestContext / 81_536 - 1) < 0.1, `${small.largestContext}`);
});

test('V4-Flash on eight B200 holds as many million-token users as vLLM reports, in one group and in eight', () => {
  // vLLM recipes issue 762, at 0.95: 20.43 in one group, 156.9 in eight.
  const at = (users: number) => fitting(request('V4-Flash', '8xB200', { users, utilization: 0.95 }));
  const one = at(1);
  assert.deepEqual([one.layout.tensor, one.layout.data], [8, 1]);
  assert.ok(Math.abs(one.users - 20.43) < 1.5, `${one.users}`);
  const eight = at(140);
  assert.deepEqual([eight.layout.tensor, eight.layout.data], [1, 8]);
  assert.ok(Math.abs(eight.users / 156.9 - 1) < 0.05, `${eight.users}`);
});

test('the layout is the quickest that holds the users: tensor parallelism, then copies or shared experts', () => {
  const layoutOf = (name: string, fleet: string, more: Partial<DeploymentRequest> = {}) => {
    const { tensor, pipeline, data } = fitting(request(name, fleet, more)).layout;
    return [tensor, pipeline, data];
  };
  assert.deepEqual(layoutOf('V3', '8xH200'), [8, 1, 1]);
  assert.deepEqual(layoutOf('V3', '2x8xH100'), [8, 2, 1]);
  assert.deepEqual(layoutOf('V3', '2x8xH100', { engine: 'sglang' }), [16, 1, 1]);
  assert.deepEqual(layoutOf('R1-Distill-Qwen-32B', '4xA100'), [4, 1, 1]);
  assert.deepEqual(layoutOf('R1-Distill-Qwen-1.5B', '8xRTX-4090'), [4, 1, 2]);
  const [, , groups] = layoutOf('V3', '8xH200', { users: 7 });
  assert.ok((groups as number) > 1);
});

test('without a wish the context is what the model has, or what one conversation can have', () => {
  assert.equal(fitting(request('V3', '8xH200')).context, 163_840);
  const plan = fitting(request('R1-Distill-Qwen-32B', '1xA100'));
  assert.equal(plan.context, plan.largestContext);
  assert.ok(plan.context > 16_384 && plan.context < 65_536);
  const { rank } = plan;
  assert.ok(demandOf(rank, plan.context, 1) <= rank.budget);
  assert.ok(demandOf(rank, plan.context + 16, 1) > rank.budget);
});

test('without a wish for the context, all users asked for have as much as fits', () => {
  const plan = fitting(request('R1-Distill-Qwen-32B', '1xA100', { users: 3 }));
  assert.ok(plan.users >= 3 && plan.context < plan.largestContext);
  assert.ok(demandOf(plan.rank, plan.context + 16, 3) > plan.rank.budget);
  // Fewer than 4,096 tokens are not offered unasked.
  assert.equal(planDeployment(request('R1-Distill-Qwen-32B', '1xA100', { users: 30 })).kind, 'refused');
});

test('a refusal has the arithmetic that does not come out, and each change it names would do', () => {
  const asked = request('R1-Distill-Qwen-32B', '1xA100', { context: 65_536, users: 2 });
  const refusal = planDeployment(asked);
  assert.ok(refusal.kind === 'refused' && refusal.closest);
  const { rank, usersPerGroup } = refusal.closest;
  assert.ok(demandOf(rank, 65_536, usersPerGroup) > rank.budget);
  assert.deepEqual(
    refusal.changes.map(({ kind }) => kind),
    ['gpus', 'quantization', 'context'],
  );
  for (const change of refusal.changes) {
    const changed = {
      ...(change.kind === 'gpus' ? { fleet: { ...asked.fleet, count: change.count } } : {}),
      ...(change.kind === 'quantization' ? { quantization: change.quantization } : {}),
      ...(change.kind === 'context' ? { context: change.context } : {}),
    };
    assert.equal(planDeployment({ ...asked, ...changed }).kind, 'fits', change.kind);
    if (change.kind !== 'context') continue;
    const longer = pagesOf(asked.model, change.context) + 1;
    assert.equal(planDeployment({ ...asked, context: longer }).kind, 'refused');
  }
});

test('more GPUs never fit less, longer conversations are never more, and what fits adds up', () => {
  const names = ['V3', 'V3.2', 'V4-Flash', 'V2-Lite', 'R1-Distill-Qwen-32B', 'R1-Distill-Llama-8B'];
  const arbitrary = fc.record({
    name: fc.constantFrom(...names),
    gpu: fc.constantFrom('H200', 'H100', 'A100-40G', 'RTX-4090'),
    engine: fc.constantFrom('vllm' as const, 'sglang' as const),
    count: fc.integer({ min: 1, max: 24 }),
    more: fc.integer({ min: 1, max: 8 }),
    users: fc.integer({ min: 1, max: 40 }),
    contexts: fc.tuple(fc.integer({ min: 64, max: 131_072 }), fc.integer({ min: 64, max: 131_072 })),
  });
  const property = fc.property(arbitrary, ({ name, gpu, engine, count, more, users, contexts }) => {
    const [short, long] = [Math.min(...contexts), Math.max(...contexts)];
    const plan = (n: number, context: number) =>
      planDeployment(request(name, `${n}x${gpu}`, { engine, users, context }));
    const [few, many, longer] = [plan(count, short), plan(count + more, short), plan(count, long)];
    if (longer.kind === 'fits') assert.equal(few.kind, 'fits');
    if (few.kind === 'refused') return;
    assert.equal(many.kind, 'fits');
    assert.ok(few.users >= users && gpusOf(few.layout) <= count);
    const perGroup = Math.floor(few.users / few.layout.data);
    assert.ok(demandOf(few.rank, pagesOf(few.request.model, short), perGroup) <= few.rank.budget * (1 + 1e-12));
    // The same layout has no more users where they are longer.
    if (longer.kind === 'fits' && JSON.stringify(longer.layout) === JSON.stringify(few.layout)) {
      assert.ok(longer.users <= few.users);
    }
  });
  fc.assert(property, { numRuns: 60 });
});

test('fleets grow by even parts of a node, then by nodes', () => {
  assert.deepEqual(fleetSizes(8).slice(0, 7), [1, 2, 4, 8, 16, 24, 32]);
  assert.deepEqual(fleetSizes(6).slice(0, 6), [1, 2, 3, 6, 12, 18]);
  const refusal = planDeployment(request('V4-Pro', '3xH200'));
  assert.ok(refusal.kind === 'refused');
  assert.deepEqual(refusal.changes[0], { kind: 'gpus', count: 8 });
});

test('what contradicts itself is refused in one line', () => {
  const cases: [Partial<DeploymentRequest>, string, RegExp][] = [
    [{ context: 200_000 }, 'V3', /context: DeepSeek-V3 has at most 163840 tokens, got 200000/],
    [{ quantization: 'fp8' }, 'V3', /is stored in fp8 already/],
    [{ quantization: 'awq' }, 'V4-Flash', /served as it is stored, in fp4/],
    [{ predictor: 'present' }, 'R1-Distill-Qwen-7B', /no prediction module/],
  ];
  for (const [more, name, message] of cases) {
    assert.throws(() => planDeployment(request(name, '8xH200', more)), message);
  }
});

test('drafting takes the module and its cache, and little else', () => {
  const [plain, drafting] = (['absent', 'present'] as const).map((predictor) =>
    fitting(request('V3', '8xH200', { predictor })),
  );
  assert.ok(plain && drafting);
  const more = (drafting.rank.weights - plain.rank.weights) / GiB;
  // 11.6 billion parameters over eight.
  assert.ok(more > 1.3 && more < 1.7, `${more}`);
  assert.equal(drafting.rank.cachePerToken - plain.rank.cachePerToken, 576 * 2);
});

const models = new Map<string, ServedModel>();

function modelOf(name: string): ServedModel {
  const { repository, config } = findPublishedModel(name) ?? assert.fail(name);
  const model = models.get(name) ?? servedModel(repository, config, repository);
  models.set(name, model);
  return model;
}

function request(name: string, fleet: string, more: Partial<DeploymentRequest> = {}): DeploymentRequest {
  return {
    ...{ model: modelOf(name), engine: 'vllm', fleet: parseFleet(fleet) },
    ...{ context: undefined, users: undefined, quantization: 'published', cacheDtype: undefined },
    ...{ predictor: 'absent', utilization: 0.9, ...more },
  };
}

function fitting(asked: DeploymentRequest) {
  const plan = planDeployment(asked);
  assert.ok(plan.kind === 'fits', `${asked.model.name} does not fit`);
  return plan;
}
