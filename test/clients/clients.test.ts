import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { clients, play } from './clients.ts';
import { ensure, needs } from './install.ts';
import { startServers } from './servers.ts';

const states = Object.fromEntries(needs.map((need) => [need, ensure(need)]));
const servers = await startServers();
after(() => servers[Symbol.asyncDispose]());

for (const [name, client] of Object.entries(clients)) {
  test(`${name} works as its makers document it`, async (t) => {
    const state = states[client.needs];
    if (state !== 'ready') return t.skip(state?.missing);
    const { code, output } = await play(client, servers);
    assert.equal(code, 0, output);
    for (const scene of output.trim().split('\n')) t.diagnostic(scene);
  });
}
