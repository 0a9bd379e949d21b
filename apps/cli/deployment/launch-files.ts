// What starts a planned deployment: shell commands, a Compose file, Kubernetes manifests, and Hadal's own configuration.
//
// Owns their form. The engine's words come from `engine-arguments`; files are written by a YAML library, so that what a model or
// a directory is called cannot break them. Images are the projects' own, by the tag that always exists: whoever deploys pins one.

import { isAbsolute, resolve } from 'node:path';
import type { DeploymentPlan } from '@hadal/models/deployment/deployment-plan';
import { stringify } from 'yaml';
import { enginePorts, type NodeLaunch, nodeLaunches, servedName } from './engine-arguments.ts';

const images = { vllm: 'vllm/vllm-openai:latest', sglang: 'lmsysorg/sglang:latest' } as const;
const imageVariables = { vllm: 'VLLM_IMAGE', sglang: 'SGLANG_IMAGE' } as const;
const cachePath = '/root/.cache/huggingface';

/** One command for each node, a flag and its value to a line. */
export function launchCommands(plan: DeploymentPlan): string {
  const launches = nodeLaunches(plan, {
    model: plan.request.model.source,
    host: '127.0.0.1',
    headAddress: '$HEAD_ADDRESS',
  });
  if (launches.length === 1) return `${shellCommand(launches[0] as NodeLaunch)}\n`;
  const intro = '# HEAD_ADDRESS is the address of the first node, as the others reach it.\n';
  return intro + launches.map((launch) => `# node ${launch.rank}\n${shellCommand(launch)}\n`).join('\n');
}

function shellCommand({ words }: NodeLaunch): string {
  const lines: string[][] = [[]];
  for (const [i, word] of words.entries()) {
    if (word.startsWith('--') && i > 0) lines.push([]);
    lines.at(-1)?.push(quoted(word));
  }
  return lines.map((line) => line.join(' ')).join(' \\\n  ');
}

function quoted(word: string): string {
  if (/^\$\w+(:\d+)?$/.test(word)) return `"${word}"`;
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A service for each node; with several, each machine starts its own by its profile. */
export function composeFile(plan: DeploymentPlan): string {
  const { engine } = plan.request;
  const place = containerModel(plan);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Compose fills it in.
  const headAddress = '${HEAD_ADDRESS}';
  const launches = nodeLaunches(plan, { model: place.model, host: '0.0.0.0', headAddress });
  const isOne = launches.length === 1;
  const port = enginePorts[engine];
  const services = launches.map((launch) => [
    isOne ? engine : `${engine}-${launch.rank}`,
    {
      image: `\${${imageVariables[engine]}:-${images[engine]}}`,
      ...(isOne ? {} : { profiles: [`node-${launch.rank}`], network_mode: 'host' }),
      entrypoint: entrypointOf(launch),
      command: argumentsOf(launch),
      ...(isOne ? { ports: [`127.0.0.1:${port}:${port}`] } : {}),
      ipc: 'host',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: Compose fills it in.
      environment: { HF_TOKEN: '${HF_TOKEN:-}' },
      volumes: [place.directory ? `${place.directory}:${place.model}:ro` : `models:${cachePath}`],
      deploy: {
        resources: { reservations: { devices: [{ driver: 'nvidia', count: launch.gpus, capabilities: ['gpu'] }] } },
      },
      ...(launch.isHead
        ? {
            healthcheck: {
              test: ['CMD', 'curl', '--fail', '--silent', `http://127.0.0.1:${port}/health`],
              ...{ interval: '30s', timeout: '10s', retries: 3, start_period: '60m' },
            },
          }
        : {}),
      restart: 'unless-stopped',
    },
  ]);
  const file = {
    services: Object.fromEntries(services),
    ...(place.directory ? {} : { volumes: { models: {} } }),
  };
  const profiles = launches.map(({ rank }) => `node-${rank}`).join(', ');
  const comment = isOne
    ? `# ${imageVariables[engine]} pins the image.\n`
    : `# On each machine: HEAD_ADDRESS=<first machine> docker compose --profile <one of ${profiles}> up\n`;
  return comment + yaml(file);
}

/** A Deployment for each node, what they find each other by, and the Service that Hadal asks. */
export function kubernetesManifests(plan: DeploymentPlan): string {
  const { engine } = plan.request;
  const name = deploymentName(plan);
  const place = containerModel(plan);
  const launches = nodeLaunches(plan, { model: place.model, host: '0.0.0.0', headAddress: `${name}-head` });
  const isOne = launches.length === 1;
  const port = enginePorts[engine];
  const labels = (rank: number) => ({ 'app.kubernetes.io/name': name, ...(isOne ? {} : { node: `${rank}` }) });
  const metadata = (suffix = '') => ({
    name: `${name}${suffix}`,
    labels: { 'app.kubernetes.io/name': name },
  });
  const gib = Math.ceil((plan.request.model.storedBytes / 2 ** 30) * 1.25);
  const claim = {
    ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: metadata('-models') },
    spec: {
      accessModes: [isOne ? 'ReadWriteOnce' : 'ReadWriteMany'],
      resources: { requests: { storage: `${gib}Gi` } },
    },
  };
  const deployments = launches.map((launch) => ({
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: metadata(isOne ? '' : `-${launch.rank}`) },
    spec: {
      replicas: 1,
      // GPUs are not there twice: the old pod goes before the new one comes.
      strategy: { type: 'Recreate' },
      selector: { matchLabels: labels(launch.rank) },
      template: {
        metadata: { labels: labels(launch.rank) },
        spec: podOf(plan, launch, { name, port, place }),
      },
    },
  }));
  const http = [{ name: 'http', port, targetPort: 'http' }];
  const service = {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: metadata() },
    spec: { selector: labels(0), ports: http },
  };
  const head = {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: metadata('-head') },
    // Nodes must find the first one before it is ready.
    spec: { clusterIP: 'None', publishNotReadyAddresses: true, selector: labels(0), ports: http },
  };
  const comments = [
    `Pin ${images[engine]} to the version that was tried.`,
    ...(place.directory ? [`The claim has to hold ${place.directory} as ${plan.request.model.name}.`] : []),
    ...(isOne
      ? []
      : ['When one node restarts, the others have to as well: LeaderWorkerSet does that where it is installed.']),
  ];
  const documents = [claim, ...deployments, service, ...(isOne ? [] : [head])];
  return comments.map((line) => `# ${line}\n`).join('') + documents.map(yaml).join('---\n');
}

function podOf(
  { request }: DeploymentPlan,
  launch: NodeLaunch,
  { name, port, place }: { readonly name: string; readonly port: number; readonly place: ModelPlace },
) {
  const health = { httpGet: { path: '/health', port: 'http' } };
  return {
    containers: [
      {
        name: request.engine,
        image: images[request.engine],
        command: entrypointOf(launch),
        args: argumentsOf(launch),
        env: [
          {
            name: 'HF_TOKEN',
            valueFrom: { secretKeyRef: { name: 'huggingface', key: 'token', optional: true } },
          },
        ],
        ...(launch.isHead
          ? {
              ports: [{ name: 'http', containerPort: port }],
              // An hour to load.
              startupProbe: { ...health, periodSeconds: 10, failureThreshold: 360 },
              readinessProbe: { ...health, periodSeconds: 10 },
            }
          : {}),
        resources: { limits: { 'nvidia.com/gpu': launch.gpus } },
        volumeMounts: [
          { name: 'models', mountPath: place.directory ? '/models' : cachePath },
          { name: 'memory', mountPath: '/dev/shm' },
        ],
      },
    ],
    volumes: [
      { name: 'models', persistentVolumeClaim: { claimName: `${name}-models` } },
      { name: 'memory', emptyDir: { medium: 'Memory' } },
    ],
  };
}

/** The part of hadal.yaml that puts Hadal in front of it. `host` as Hadal reaches the engine. */
export function hadalConfiguration(plan: DeploymentPlan, host: string): string {
  const { request, layout, context, sequences } = plan;
  const name = deploymentName(plan);
  const alias = /v4.*flash/i.test(request.model.name) ? 'deepseek-v4-flash' : 'deepseek-v4-pro';
  return yaml({
    upstreams: {
      [name]: {
        model: servedName(plan),
        context_window: context,
        servers: [{ url: `http://${host}:${enginePorts[request.engine]}/v1`, concurrency: sequences * layout.data }],
      },
    },
    ...(alias === name ? {} : { models: { [alias]: { model: name } } }),
  });
}

/** As names in Kubernetes have to be. */
export function deploymentName({ request }: DeploymentPlan): string {
  const plain = request.model.name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  return plain.slice(0, 40).replace(/-$/, '') || 'model';
}

interface ModelPlace {
  /** As the container calls it. */
  readonly model: string;
  /** On this machine, where it is not downloaded. */
  readonly directory: string | undefined;
}

function containerModel(plan: DeploymentPlan): ModelPlace {
  const { source, name } = plan.request.model;
  if (servedName(plan) === source && !isAbsolute(source)) return { model: source, directory: undefined };
  return { model: `/models/${name}`, directory: resolve(source) };
}

/** The program, which images do not agree on, and what follows it. */
function entrypointOf({ words }: NodeLaunch): readonly string[] {
  return words[0] === 'vllm' ? words.slice(0, 2) : words.slice(0, 3);
}

function argumentsOf(launch: NodeLaunch): readonly string[] {
  return launch.words.slice(entrypointOf(launch).length);
}

function yaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}
