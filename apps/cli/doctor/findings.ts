// What is right and wrong with a machine, out of what was seen of it.
//
// Owns the judgement: what is fine, what will hurt, what cannot work, and what to do about it. Reads nothing itself, so that every
// machine can be judged from a test. A finding that is not fine always has a remedy.

import type { Flavour } from '@hadal/server/upstream/upstream-flavour';
import { bytesInWords } from '../quantities.ts';
import type { UpstreamServerSeen } from './upstream-server.ts';

export type Finding =
  | { readonly check: string; readonly status: 'ok'; readonly message: string }
  | {
      readonly check: string;
      /** `warning`: works, and worse than it could; `problem`: does not work. */
      readonly status: 'warning' | 'problem';
      readonly message: string;
      readonly remedy: string;
    };

/** What was tried, and why it did not go well where it did not. */
export type Tried = { readonly type: 'done' } | { readonly type: 'failed'; readonly reason: string };

const good = (check: string, message: string): Finding => ({ check, status: 'ok', message });
const poor = (check: string, message: string, remedy: string): Finding => ({
  ...{ check, status: 'warning', message, remedy },
});
const bad = (check: string, message: string, remedy: string): Finding => ({
  ...{ check, status: 'problem', message, remedy },
});

export function nodeFinding(running: string, pinned: string): Finding {
  if (running === pinned) return good('node', `Node ${running}, the pinned one`);
  const remedy = 'start it with `npx hadal` or npm, which run the pinned one';
  return poor('node', `Node ${running}; tests run under ${pinned}`, remedy);
}

export interface KernelsSeen {
  /** First line of what the compiler says of itself; undefined where there is none. */
  readonly compiler: string | undefined;
  readonly built: Tried;
}

export function compilerFinding({ compiler, built }: KernelsSeen): Finding {
  if (compiler !== undefined) return good('compiler', compiler);
  const remedy = 'install one (g++ or clang++), or name it in CXX';
  return built.type === 'done'
    ? poor('compiler', 'no C++ compiler; kernels that are built already work, newer ones cannot be built', remedy)
    : bad('compiler', 'no C++ compiler, and no kernels are built', remedy);
}

/** `isas`: what this machine and the build have, best first. `model`: of the processor. */
export function processorFinding(built: Tried, isas: readonly string[], model: string, cores: number): Finding {
  if (built.type === 'failed')
    return bad('processor', `kernels cannot be loaded: ${built.reason}`, 'run: npm run build');
  const [isa = 'none'] = isas;
  const message = `${model}, ${cores} ${cores === 1 ? 'thread' : 'threads'}, kernels for ${isa}`;
  return isa === 'portable'
    ? poor('processor', message, 'a processor with AVX2, AVX-512 or NEON answers several times as fast')
    : good('processor', message);
}

const littleMemory = 1e9;

export function memoryFinding(availableBytes: number, totalBytes: number): Finding {
  const message = `${bytesInWords(availableBytes)} of ${bytesInWords(totalBytes)} available`;
  return availableBytes < littleMemory
    ? poor('memory', message, 'end what else takes memory, or raise the limit of the container')
    : good('memory', message);
}

/** `needed`: in all, as planned. */
export function modelFinding(path: string, fits: Tried, needed: { readonly bytes: number; readonly context: number }) {
  if (fits.type === 'failed') {
    return bad('model', fits.reason, 'choose a smaller model, --dtype int8 or int4, or a shorter --context');
  }
  return good('model', `${path} needs ${bytesInWords(needed.bytes)} for ${needed.context} tokens of context`);
}

export interface DiskSeen {
  readonly path: string;
  readonly writable: Tried;
  readonly freeBytes: number;
  /** What the disk cache may take. */
  readonly cacheBytes: number;
}

const littleDisk = 200e6;

export function diskFinding({ path, writable, freeBytes, cacheBytes }: DiskSeen): Finding {
  if (writable.type === 'failed') {
    return bad(
      'disk',
      `${path} cannot be written to (${writable.reason})`,
      'change its owner, or name another in HADAL_HOME',
    );
  }
  const message = `${bytesInWords(freeBytes)} free in ${path}`;
  const remedy = 'free some, or name a directory on another disk in HADAL_HOME';
  if (freeBytes < littleDisk) return bad('disk', `${message}; files, batches and usage need room`, remedy);
  return freeBytes < cacheBytes + littleDisk
    ? poor(
        'disk',
        `${message}; prefixes may take ${bytesInWords(cacheBytes)}`,
        `${remedy}, or serve with --disk-cache 0`,
      )
    : good('disk', message);
}

export interface AddressSeen {
  /** Such as `server` or `metrics`. */
  readonly what: string;
  readonly host: string;
  readonly port: number;
  readonly listening: Tried;
  /** Whether it is a server of ours that has the port. */
  readonly isOurs: boolean;
}

export function addressFinding({ what, host, port, listening, isOurs }: AddressSeen): Finding {
  const check = `port (${what})`;
  if (isOurs)
    return poor(check, `a Hadal server has port ${port} on ${host} already`, 'nothing, if that is meant to be');
  if (listening.type === 'failed') {
    return bad(
      check,
      `port ${port} on ${host} cannot be had (${listening.reason})`,
      'end what has it, or choose another',
    );
  }
  const isLoopback = /^(127\.|::1$|localhost$)/.test(host);
  return good(check, `port ${port} on ${host} is free${isLoopback ? '' : '; others on the network can connect'}`);
}

/** `mistakes`: a line each; `path` undefined: there is no file. */
export function configurationFindings(path: string | undefined, mistakes: readonly string[]): Finding[] {
  if (mistakes.length === 0) {
    return [good('configuration', path === undefined ? 'no file, so defaults hold' : `${path} is understood`)];
  }
  return mistakes.map((mistake) => bad('configuration', mistake, 'docs/configuration.md says what can stand there'));
}

/** Of what else this server will talk to. */
export function reachableFinding(name: string, url: string, reached: Tried): Finding {
  return reached.type === 'done'
    ? good(name, `${url} answers`)
    : bad(name, `${url} does not answer (${reached.reason})`, 'start it, or correct its address in the configuration');
}

/** They answer whatever name they are asked for. */
const nameless: readonly Flavour[] = ['llama-server', 'transformers'];
const namesShown = 5;

/** One for each server of the upstream `id`, which is asked for `model`. One that is away is made good by another that answers. */
export function upstreamFindings(id: string, model: string, servers: readonly UpstreamServerSeen[]): Finding[] {
  const check = `upstream ${id}`;
  const hasModel = ({ answer }: UpstreamServerSeen) => answer.type === 'listed' && answer.models.includes(model);
  const away = servers.some(hasModel) ? poor : bad;
  return servers.map((server): Finding => {
    const { url, keyEnv, answer } = server;
    switch (answer.type) {
      case 'keyless':
        return bad(check, `${url} wants a key, and ${keyEnv} is empty`, `set ${keyEnv} where the server is started`);
      case 'silent':
        return away(
          check,
          `${url} does not answer (${answer.reason})`,
          'start it, or correct its address in the configuration',
        );
      case 'refused': {
        const key =
          keyEnv === undefined ? 'name the variable that has its key in key_env' : `correct the key in ${keyEnv}`;
        const isKeys = answer.status === 401 || answer.status === 403;
        const remedy = isKeys ? key : 'look into its log; a server that is still loading answers so, too';
        return away(check, `${url} answers ${answer.status} when asked for its ${answer.place}`, remedy);
      }
      case 'unlisted':
        return poor(
          check,
          `${url} answers ${inTime(answer.ms)} and has no list of models, so that ${model} was not found in one`,
          'look whether all of its path is there, such as /v1',
        );
      case 'listed': {
        if (hasModel(server)) return good(check, `${url} answers 200 ${inTime(answer.ms)} and has ${model}`);
        const message = `${url} answers 200 ${inTime(answer.ms)} and does not list ${model}, but ${namesInWords(answer.models)}`;
        const remedy = `correct upstreams.${id}.model, or serve the model there under this name`;
        return (nameless.includes(answer.flavour) ? poor : away)(check, message, remedy);
      }
      default:
        return answer satisfies never;
    }
  });
}

function inTime(ms: number): string {
  return `within ${Math.max(1, Math.round(ms))} ms`;
}

function namesInWords(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).join(', ') || 'none';
  return names.length > namesShown ? `${shown} and ${names.length - namesShown} more` : shown;
}

/** Of the checkpoint that counts what the upstream `id` does not say. */
export function tokenizerFinding(id: string, path: string, opened: Tried): Finding {
  const check = `upstream ${id}`;
  return opened.type === 'done'
    ? good(check, `${path} counts what it does not say`)
    : bad(check, `tokenizer: ${opened.reason}`, `correct upstreams.${id}.tokenizer, or leave it out`);
}

const fewFiles = 4096;

/** `limit`: open files of a process; undefined where the system does not tell. */
export function filesFinding(limit: number | undefined): Finding {
  if (limit === undefined) return good('open files', 'the system does not tell its limit');
  const message = `${limit === Number.POSITIVE_INFINITY ? 'any number of' : limit} open files allowed`;
  return limit < fewFiles
    ? poor('open files', `${message}; each connection is one`, 'raise it: ulimit -n 65536, or LimitNOFILE= in the unit')
    : good('open files', message);
}

/** The worst of them. */
export function verdict(findings: readonly Finding[]): Finding['status'] {
  const has = (status: Finding['status']) => findings.some((finding) => finding.status === status);
  return has('problem') ? 'problem' : has('warning') ? 'warning' : 'ok';
}
