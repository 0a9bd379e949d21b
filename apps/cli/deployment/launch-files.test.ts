import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeploymentPlan, type DeploymentRequest, planDeployment } from '@hadal/models/deployment/deployment-plan';
import { parseFleet } from '@hadal/models/deployment/gpu-fleet';
import { findPublishedModel } from '@hadal/models/deployment/published-models';
import { servedModel } from '@hadal/models/deployment/served-model';
import { parse, parseAllDocuments } from 'yaml';
import { nodeLaunches } from './engine-arguments.ts';
import {
  composeFile,
  deploymentName,
  hadalConfiguration,
  kubernetesManifests,
  launchCommands,
} from './launch-files.ts';

test('vLLM is told everything that the plan rests on', () => {
  const text = launchCommands(planOf('V4-Flash', '4xH200', { context: 393_216, users: 60 }));
  const expected = `vllm serve deepseek-ai/DeepSeek-V4-Flash \\
  --served-model-name deepseek-ai/DeepSeek-V4-Flash \\
  --tensor-parallel-size 1 \\
  --data-parallel-size 4 \\
  --enable-expert-parallel \\
  --max-model-len 393216 \\
  --max-num-seqs 15 \\
  --max-num-batched-tokens 8192 \\
  --gpu-memory-utilization 0.9 \\
  --kv-cache-dtype fp8 \\
  --block-size 256 \\
  --tokenizer-mode deepseek_v4 \\
  --enable-auto-tool-choice \\
  --tool-call-parser deepseek_v4 \\
  --reasoning-parser deepseek_v4 \\
  --host 127.0.0.1 \\
  --port 8000
`;
  assert.equal(text, expected);
});

test("SGLang's groups are parts of its tensor parallelism, and its share of memory leaves what the plan reserves", () => {
  const plan = planOf('V3', '8xH200', { engine: 'sglang', users: 12 });
  const flags = flagsOf(launchOf(plan).words);
  const { tensor, data } = plan.layout;
  assert.ok(data > 1);
  assert.deepEqual([flags['--tp-size'], flags['--dp-size']], [`${tensor * data}`, `${data}`]);
  assert.ok('--enable-dp-attention' in flags);
  const left = (1 - Number(flags['--mem-fraction-static'])) * plan.rank.usable;
  assert.ok(left >= plan.rank.working.bytes && left < plan.rank.working.bytes + 0.0011 * plan.rank.usable);
});

test('parsers follow the model: what reasons, and how it calls tools', () => {
  const parsers = (name: string, engine: 'vllm' | 'sglang' = 'vllm') => {
    const flags = flagsOf(launchOf(planOf(name, '16xH200', { engine })).words);
    return [flags['--reasoning-parser'], flags['--tool-call-parser']];
  };
  assert.deepEqual(parsers('V3'), [undefined, 'deepseek_v3']);
  assert.deepEqual(parsers('R1-0528'), ['deepseek_r1', 'deepseek_v3']);
  assert.deepEqual(parsers('V3.1'), ['deepseek_v3', 'deepseek_v31']);
  assert.deepEqual(parsers('V3.2'), ['deepseek_v3', 'deepseek_v32']);
  assert.deepEqual(parsers('V4-Pro', 'sglang'), ['deepseek-v4', 'deepseekv4']);
  assert.deepEqual(parsers('R1-Distill-Llama-8B', 'sglang'), ['deepseek-r1', undefined]);
  assert.deepEqual(parsers('V2-Lite'), [undefined, undefined]);
});

test('every node has its own launch, and the first one answers', () => {
  const pipeline = nodeLaunches(planOf('V3', '2x8xH100'), options);
  assert.deepEqual(
    pipeline.map(({ words, isHead, gpus }) => [
      flagsOf(words)['--node-rank'],
      words.includes('--headless'),
      isHead,
      gpus,
    ]),
    [
      ['0', false, true, 8],
      ['1', true, false, 8],
    ],
  );
  const groups = nodeLaunches(planOf('V4-Pro', '2x8xH200', { users: 20 }), options).map(({ words }) => flagsOf(words));
  const perNode = Number(groups[0]?.['--data-parallel-size']) / 2;
  assert.deepEqual(
    groups.map((flags) => [flags['--data-parallel-size-local'], flags['--data-parallel-start-rank']]),
    [
      [`${perNode}`, undefined],
      [`${perNode}`, `${perNode}`],
    ],
  );
  const text = launchCommands(planOf('V3', '2x8xH100', { engine: 'sglang' }));
  assert.match(text, /# node 1\npython3 -m sglang\.launch_server \\\n {2}--model-path /);
  assert.match(text, /--dist-init-addr "\$HEAD_ADDRESS:29500"/);
});

test('drafting is a flag of each engine, quoted where a shell would break it', () => {
  const draft = { predictor: 'present' } as const;
  const text = launchCommands(planOf('V3', '8xH200', draft));
  assert.ok(text.includes(`--speculative-config '{"method":"mtp","num_speculative_tokens":1}'`));
  const flags = flagsOf(launchOf(planOf('V3', '8xH200', { ...draft, engine: 'sglang' })).words);
  assert.deepEqual([flags['--speculative-algorithm'], flags['--speculative-num-draft-tokens']], ['EAGLE', '2']);
});

test('the Compose file parses, starts the same words and asks for the GPUs', () => {
  const plan = planOf('R1-Distill-Qwen-32B', '2xH100');
  const file = parse(composeFile(plan));
  const service = file.services.vllm;
  assert.deepEqual([...service.entrypoint, ...service.command], inContainer(plan)[0]?.words);
  const [device] = service.deploy.resources.reservations.devices;
  assert.deepEqual(device, { driver: 'nvidia', count: 2, capabilities: ['gpu'] });
  assert.deepEqual(service.ports, ['127.0.0.1:8000:8000']);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Compose fills it in.
  assert.equal(service.image, '${VLLM_IMAGE:-vllm/vllm-openai:latest}');
  assert.deepEqual(file.volumes, { models: {} });

  const nodes = parse(composeFile(planOf('R1', '2x8xH100', { engine: 'sglang' }))).services;
  assert.deepEqual(Object.keys(nodes), ['sglang-0', 'sglang-1']);
  assert.deepEqual(nodes['sglang-1'].profiles, ['node-1']);
  assert.ok(nodes['sglang-0'].healthcheck && !nodes['sglang-1'].healthcheck);
});

test('the Kubernetes manifests are whole: selectors, ports, claims and probes name what is there', () => {
  for (const [name, fleet, engine] of [
    ['R1-Distill-Llama-70B', '4xH100', 'vllm'],
    ['R1', '2x8xH100', 'sglang'],
    ['V3', '2x8xH100', 'vllm'],
  ] as const) {
    const plan = planOf(name, fleet, { engine });
    const documents = parseAllDocuments(kubernetesManifests(plan)).map((document) => {
      assert.deepEqual(document.errors, []);
      return document.toJS();
    });
    const ofKind = (kind: string) => documents.filter((document) => document.kind === kind);
    for (const { apiVersion, kind, metadata } of documents) {
      assert.equal(apiVersion, kind === 'Deployment' ? 'apps/v1' : 'v1');
      assert.match(metadata.name, /^[a-z]([a-z0-9-]*[a-z0-9])?$/);
    }
    const launches = inContainer(plan, `${deploymentName(plan)}-head`);
    const deployments = ofKind('Deployment');
    assert.equal(deployments.length, launches.length);
    const [claim] = ofKind('PersistentVolumeClaim');
    // There is room for the download.
    const { storage } = claim.spec.resources.requests;
    assert.ok(Number.parseInt(storage, 10) * 2 ** 30 > plan.request.model.storedBytes);
    for (const [i, { spec }] of deployments.entries()) {
      assert.deepEqual(spec.template.metadata.labels, spec.selector.matchLabels);
      const { containers, volumes } = spec.template.spec;
      const [container] = containers;
      assert.deepEqual([...container.command, ...container.args], launches[i]?.words);
      assert.equal(container.resources.limits['nvidia.com/gpu'], launches[i]?.gpus);
      const mounted = new Set(volumes.map((volume: { name: string }) => volume.name));
      for (const mount of container.volumeMounts) assert.ok(mounted.has(mount.name));
      assert.equal(volumes[0].persistentVolumeClaim.claimName, claim.metadata.name);
      if (i > 0) continue;
      assert.deepEqual(container.readinessProbe.httpGet, { path: '/health', port: 'http' });
      assert.deepEqual(container.ports, [{ name: 'http', containerPort: engine === 'vllm' ? 8000 : 30_000 }]);
      for (const service of ofKind('Service')) assert.deepEqual(service.spec.selector, spec.template.metadata.labels);
    }
    const services = ofKind('Service').map(({ metadata }) => metadata.name);
    assert.deepEqual(services, [
      deploymentName(plan),
      ...(launches.length > 1 ? [`${deploymentName(plan)}-head`] : []),
    ]);
  }
});

test('a directory is mounted under the name that it is served by, whatever it is called', () => {
  const { config } = findPublishedModel('R1-Distill-Qwen-7B') ?? assert.fail();
  const model = servedModel("/data/it's a: model", config, 'config.json');
  const plan = planOf('R1-Distill-Qwen-7B', '1xH100', { model });
  assert.match(
    launchCommands(plan),
    /^vllm serve '\/data\/it'\\''s a: model' \\\n {2}--served-model-name 'it'\\''s a: model'/,
  );
  const service = parse(composeFile(plan)).services.vllm;
  assert.deepEqual(service.volumes, ["/data/it's a: model:/models/it's a: model:ro"]);
  assert.equal(service.command[0], "/models/it's a: model");
  assert.equal(deploymentName(plan), 'it-s-a-model');
});

test("Hadal's configuration names what the engine serves, where, and how many at once", () => {
  const plan = planOf('V3', '8xH200', { users: 3, context: 131_072 });
  assert.deepEqual(parse(hadalConfiguration(plan, 'vllm-0')), {
    upstreams: {
      'deepseek-v3': {
        model: 'deepseek-ai/DeepSeek-V3',
        context_window: 131_072,
        servers: [{ url: 'http://vllm-0:8000/v1', concurrency: plan.sequences * plan.layout.data }],
      },
    },
    models: { 'deepseek-v4-pro': { model: 'deepseek-v3' } },
  });
  // A name of DeepSeek's own needs no other.
  assert.equal(parse(hadalConfiguration(planOf('V4-Flash', '4xH200'), 'x')).models, undefined);
});

const options = { model: 'deepseek-ai/X', host: '127.0.0.1', headAddress: 'head' };

/** As a container calls it: a repository has one name everywhere. */
function inContainer(plan: DeploymentPlan, headAddress = 'head') {
  return nodeLaunches(plan, { model: plan.request.model.source, host: '0.0.0.0', headAddress });
}

function planOf(name: string, fleet: string, more: Partial<DeploymentRequest> = {}): DeploymentPlan {
  const { repository, config } = findPublishedModel(name) ?? assert.fail(name);
  const plan = planDeployment({
    ...{ model: servedModel(repository, config, repository), engine: 'vllm', fleet: parseFleet(fleet) },
    ...{ context: undefined, users: undefined, quantization: 'published', cacheDtype: undefined },
    ...{ predictor: 'absent', utilization: 0.9, ...more },
  });
  assert.ok(plan.kind === 'fits', name);
  return plan;
}

function launchOf(plan: DeploymentPlan) {
  return nodeLaunches(plan, options)[0] ?? assert.fail();
}

/** Each flag and the word after it. */
function flagsOf(words: readonly string[]): Record<string, string | undefined> {
  return Object.fromEntries(words.flatMap((word, i) => (word.startsWith('--') ? [[word, words[i + 1]]] : [])));
}
