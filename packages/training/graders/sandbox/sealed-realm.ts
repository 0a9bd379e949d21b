// The inside of a sandbox's process, with everything taken out that leads outside.
//
// Owns what is left of Node once an interpreter is loaded: the language, and a pipe each way. This is the third of four walls. The first
// is the interpreter, which offers nothing; the second is that strings cannot become JavaScript here (a flag of the process); the
// fourth is Node's permission model, which refuses files, processes, threads and addons whatever is left in here.

import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import dns from 'node:dns';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { registerHooks, syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import { runInNewContext } from 'node:vm';
import { maxMessageCharacters, type SandboxReply, type SandboxRequest } from './messages.ts';

/** What interpreters use of the global object beyond the language itself. */
const kept: ReadonlySet<string> = new Set([
  ...[
    'WebAssembly',
    'TextDecoder',
    'TextEncoder',
    'performance',
    'crypto',
    'queueMicrotask',
    'setTimeout',
    'clearTimeout',
  ],
  ...['console', 'URL', 'AbortController', 'AbortSignal', 'DOMException', 'Buffer', 'setImmediate', 'clearImmediate'],
]);

function refuse(): never {
  throw new Error('not permitted in a sandbox');
}

/** Answers requests one at a time, for as long as there are any. Call it once, last. */
export function serveSealed(handle: (request: SandboxRequest) => SandboxReply): void {
  const { stdin, stdout, exit } = process;
  const send = (reply: SandboxReply): void => {
    stdout.write(`${JSON.stringify(reply)}\n`);
  };
  // Not readline's lines, which end at other characters too, of which an answer may have any.
  let received: string[] = [];
  stdin.setEncoding('utf8').on('data', (text: string) => {
    const [first = '', ...lines] = text.split('\n');
    received.push(first);
    for (const line of lines) {
      send(handle(JSON.parse(received.join(''))));
      received = [line];
    }
  });
  stdin.on('end', () => exit(0));
  seal();
  send({ type: 'ready' });
}

function seal(): void {
  net.Socket.prototype.connect = refuse;
  net.Server.prototype.listen = refuse;
  dgram.Socket.prototype.bind = refuse;
  dgram.Socket.prototype.connect = refuse;
  dgram.Socket.prototype.send = refuse;
  for (const module of [net, tls, dgram, dns, dns.promises, http, https, http2, childProcess]) {
    for (const [name, value] of Object.entries(module)) {
      if (typeof value === 'function' && /^[a-z]/.test(name)) Reflect.set(module, name, refuse);
    }
  }
  syncBuiltinESMExports();
  registerHooks({ resolve: refuse, load: refuse });
  Reflect.set(process, 'getBuiltinModule', refuse);
  Reflect.set(process, 'binding', refuse);
  Reflect.set(process, 'dlopen', refuse);
  const language = new Set<string>(runInNewContext('Object.getOwnPropertyNames(globalThis)'));
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!language.has(name) && !kept.has(name)) Reflect.deleteProperty(globalThis, name);
  }
}

/** A text for the caller, of bounded length. */
export function shortened(text: string): string {
  return text.length <= maxMessageCharacters ? text : `${text.slice(0, maxMessageCharacters)}...`;
}
