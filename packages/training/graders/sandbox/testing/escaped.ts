// A sandbox's process whose interpreter has been broken out of.
//
// Owns what somebody would try who runs JavaScript beside the interpreter, holding modules of Node that were imported before the
// process was sealed: more than any program can have. Replies to each request with what was got hold of, which must be nothing.

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import dns from 'node:dns';
import fs from 'node:fs';
import http from 'node:http';
import net, { connect, createServer, Socket } from 'node:net';
import vm from 'node:vm';
import { Worker } from 'node:worker_threads';
import { serveSealed } from '../sealed-realm.ts';

const port = Number(process.argv[3]);
const kept = process;

const attempts: Readonly<Record<string, () => unknown>> = {
  'read a file': () => fs.readFileSync('/etc/passwd'),
  'open a file': () => fs.openSync('/etc/hostname', 'r'),
  'list a folder': () => fs.readdirSync('/'),
  'write a file': () => fs.writeFileSync('/tmp/hadal-was-here', 'x'),
  'make a folder': () => fs.mkdirSync('/tmp/hadal-was-here'),
  'write beside the program': () => fs.writeFileSync(new URL('./here.txt', import.meta.url), 'x'),
  'start a process': () => spawnSync('/bin/true').error === undefined || refused(),
  'start a thread': () => new Worker('1', { eval: true }),
  'connect by a function that was imported': () => connect(port, '127.0.0.1'),
  'connect by the module': () => net.connect(port, '127.0.0.1'),
  'connect by a socket': () => new Socket().connect(port, '127.0.0.1'),
  'ask a server': () => http.get(`http://127.0.0.1:${port}/`),
  'be a server': () => createServer().listen(0),
  'send a packet': () => createSocket('udp4').send('x', port, '127.0.0.1'),
  'look up a name': () => dns.lookup('localhost', () => {}),
  'make code of a string': () => new Function('return 1')(),
  // biome-ignore lint/complexity/useArrowFunction: an arrow function has no such constructor.
  'make code by a constructor': () => function () {}.constructor('return 1')(),
  'evaluate a string': () => Reflect.get(globalThis, 'eval')('1'),
  'find the process': () => Reflect.get(globalThis, 'process') ?? refused(),
  'find fetch': () => Reflect.get(globalThis, 'fetch') ?? refused(),
  'find WebSocket': () => Reflect.get(globalThis, 'WebSocket') ?? refused(),
  'ask for a module': () => kept.getBuiltinModule('fs'),
  'ask for a binding': () => Reflect.get(kept, 'binding')('fs'),
  'load an addon': () => kept.dlopen({ exports: {} }, '/work/main/packages/kernels/build/hadal.node'),
  'find a secret': () => Object.keys(kept.env).length > 0 || refused(),
  'pollute what is shared with the server': () => vm.runInThisContext('typeof process') !== 'undefined' || refused(),
};

function refused(): never {
  throw new Error('refused');
}

serveSealed(() => {
  const got = Object.entries(attempts).flatMap(([name, attempt]) => {
    try {
      attempt();
      return [name];
    } catch {
      return [];
    }
  });
  return { type: 'mistake', message: got.join(', ') };
});
