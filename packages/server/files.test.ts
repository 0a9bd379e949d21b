import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { BadRequestError, NotFoundError, toFile } from 'openai';
import { serveToy, type ToyServer } from './testing/serve-toy.ts';
import { clientOf, until } from './testing/toy-requests.ts';

const serve = (more: object = {}) => serveToy({ script: () => ['ok'], ...more });
const betas: Anthropic.Beta.AnthropicBeta[] = ['files-api-2025-04-14'];

function anthropicOf(toy: ToyServer, base: string): Anthropic {
  return new Anthropic({ baseURL: toy.server.url + base, apiKey: 'any', maxRetries: 0 });
}

test('a file is uploaded, listed, read and deleted by the official client', async () => {
  await using toy = await serve();
  const client = clientOf(toy, '/v1');
  const content = Buffer.from('{"a": "é"}\n'.repeat(300_000));
  const file = await client.files.create({ file: await toFile(content, 'naïve name.jsonl'), purpose: 'batch' });
  assert.match(file.id, /^file-api-[0-9a-f]{32}$/);
  assert.deepEqual(
    [file.object, file.bytes, file.filename, file.purpose],
    ['file', content.length, 'naïve name.jsonl', 'batch'],
  );
  assert.ok(Math.abs(file.created_at - Date.now() / 1000) < 10);
  assert.equal('expires_at' in file, false);
  assert.deepEqual(await client.files.retrieve(file.id), file);
  const response = await client.files.content(file.id);
  assert.equal(response.headers.get('content-length'), String(content.length));
  assert.equal(response.headers.get('content-disposition'), "attachment; filename*=UTF-8''na%C3%AFve%20name.jsonl");
  assert.equal(Buffer.compare(Buffer.from(await response.arrayBuffer()), content), 0);
  const other = await client.files.create({ file: await toFile(Buffer.from('x'), 'x.txt'), purpose: 'user_data' });
  const ids = async (query: object) => (await Array.fromAsync(client.files.list(query))).map(({ id }) => id);
  assert.deepEqual(await ids({ limit: 1 }), [file.id, other.id], 'the client goes from page to page');
  assert.deepEqual(await ids({ order: 'desc' }), [other.id, file.id]);
  assert.deepEqual(await ids({ purpose: 'batch' }), [file.id]);
  assert.deepEqual(await client.files.delete(file.id), { id: file.id, object: 'file', deleted: true });
  await assert.rejects(client.files.retrieve(file.id), NotFoundError);
  await assert.rejects(client.files.content(file.id), NotFoundError);
  await assert.rejects(client.files.delete(file.id), NotFoundError);
  assert.deepEqual(await ids({}), [other.id]);
});

test('a file that is deleted while it is asked for is not found, and no failure of ours', async () => {
  await using toy = await serve();
  const client = clientOf(toy, '/v1');
  const { id } = await client.files.create({ file: await toFile(Buffer.from('x'), 'x.txt'), purpose: 'user_data' });
  const { files } = toy.store;
  const find = files.find.bind(files);
  files.find = async (owner, wanted) => {
    const found = await find(owner, wanted);
    await files.delete(owner, wanted);
    return found;
  };
  await assert.rejects(client.files.content(id), NotFoundError);
});

test('fields may come before the file or after it, and a file may expire', async () => {
  await using toy = await serve();
  const upload = async (...parts: [string, string | Blob][]) => {
    const form = new FormData();
    for (const [name, value] of parts) form.append(name, value);
    const response = await fetch(`${toy.server.url}/files`, { method: 'POST', body: form });
    return (await response.json()) as { error?: { message: string }; expires_at?: number; created_at?: number };
  };
  const file: [string, Blob] = ['file', new Blob(['x'])];
  const expiry: [string, string][] = [
    ['expires_after[anchor]', 'created_at'],
    ['expires_after[seconds]', '3600'],
  ];
  for (const parts of [
    [file, ['purpose', 'user_data'], ...expiry],
    [...expiry, ['purpose', 'user_data'], file],
  ] as [string, string | Blob][][]) {
    const { created_at = 0, expires_at } = await upload(...parts);
    assert.equal(expires_at, created_at + 3600);
  }
  const problem = async (...parts: [string, string | Blob][]) => (await upload(...parts)).error?.message;
  assert.match((await problem(file)) ?? '', /^.*purpose: expected .*"user_data".*but it is missing/);
  assert.match((await problem(file, ['purpose', 'fun'])) ?? '', /purpose: expected .* got "fun"/);
  assert.equal(await problem(file, file, ['purpose', 'batch']), 'file: expected one file, got 2');
  assert.equal(await problem(['purpose', 'batch']), 'file: expected a file, but it is missing');
  assert.equal(await problem(['file', 'text'], ['purpose', 'batch']), 'file: expected a file, but it is missing');
  assert.match((await problem(file, ['purpose', 'batch'], ['expires_after[anchor]', 'created_at'])) ?? '', /got one/);
  assert.match(
    (await problem(file, ['purpose', 'batch'], ['expires_after[seconds]', '5'])) ?? '',
    /expires_after\[seconds\]: expected integer from 3600 to 2592000, got "5"/,
  );
  assert.equal(
    (await problem(['file', new File(['x'], 'n'.repeat(513))], ['purpose', 'batch']))?.slice(0, 14),
    'file: expected',
  );
  const { data } = await clientOf(toy).files.list();
  assert.equal(data.length, 2, 'what was refused is not there');
});

test('the same files have another shape for clients of Anthropic, under its base and under the bare one', async () => {
  await using toy = await serve();
  for (const base of ['/anthropic', '']) {
    const { beta } = anthropicOf(toy, base);
    const file = await beta.files.upload({ file: new File(['hello'], 'a.txt', { type: 'text/plain' }), betas });
    assert.deepEqual([file.type, file.filename, file.mime_type, file.size_bytes], ['file', 'a.txt', 'text/plain', 5]);
    assert.ok(Math.abs(Date.parse(file.created_at) - Date.now()) < 10_000);
    assert.deepEqual(await beta.files.retrieveMetadata(file.id, { betas }), file);
    assert.equal(await (await beta.files.download(file.id, { betas })).text(), 'hello');
    assert.equal((await clientOf(toy).files.retrieve(file.id)).filename, 'a.txt');
    const second = await beta.files.upload({ file: new File(['2'], 'b.txt'), betas });
    const ids = (await Array.fromAsync(beta.files.list({ limit: 1, betas }))).map(({ id }) => id);
    assert.deepEqual(ids, [second.id, file.id], 'the newest first');
    const headers = { 'anthropic-version': '2023-06-01', 'anthropic-beta': betas.join() };
    const before = await fetch(`${toy.server.url}${base}/v1/files?before_id=${file.id}`, { headers });
    const { data } = (await before.json()) as { data: { id: string }[] };
    assert.deepEqual(
      data.map(({ id }) => id),
      [second.id],
    );
    assert.deepEqual(await beta.files.delete(file.id, { betas }), { id: file.id, type: 'file_deleted' });
    await assert.rejects(beta.files.retrieveMetadata(file.id, { betas }), Anthropic.NotFoundError);
    await beta.files.delete(second.id, { betas });
  }
  const response = await fetch(`${toy.server.url}/anthropic/v1/files`);
  assert.equal(response.status, 400);
  const { type, error } = (await response.json()) as { type: string; error: { message: string } };
  assert.deepEqual([type, error.message], ['error', 'anthropic-beta: expected the header files-api-2025-04-14']);
});

test('models have the shape of whose clients ask', async () => {
  await using toy = await serve();
  const [model] = (await anthropicOf(toy, '/anthropic').models.list()).data;
  assert.deepEqual([model?.id, model?.type, model?.display_name], ['toy', 'model', 'toy']);
  assert.equal((await anthropicOf(toy, '').models.retrieve('toy')).id, 'toy');
  const { data } = (await (await fetch(`${toy.server.url}/v1/models`)).json()) as { data: object[] };
  assert.ok(data[0] && 'context_window' in data[0]);
});

test('mistakes in lists and forms name their field', async () => {
  await using toy = await serve();
  const { files } = clientOf(toy);
  const refused = async (pending: Promise<unknown>, message: RegExp) => {
    await assert.rejects(pending, (error) => error instanceof BadRequestError && message.test(error.message));
  };
  await refused(files.list({ limit: 0 }), /limit: expected integer from 1 to 10000, got "0"/);
  await refused(files.list({ after: 'file-api-x' }), /after: expected the id of an entry of the list, got file-api-x/);
  await refused(files.list({ order: 'up' as 'asc' }), /order: expected/);
  const send = async (type: string | undefined, body: string) => {
    const headers = type === undefined ? {} : { 'content-type': type };
    const response = await fetch(`${toy.server.url}/files`, { method: 'POST', headers, body });
    return `${response.status} ${((await response.json()) as { error: { message: string } }).error.message}`;
  };
  assert.equal(
    await send('application/json', '{}'),
    '415 Content-Type: expected multipart/form-data, got application/json',
  );
  assert.match(await send('multipart/form-data', 'x'), /^400 Malformed HTTP request: .*[Bb]oundary/);
  assert.match(await send('multipart/form-data; boundary=b', 'x'), /^400 Malformed HTTP request: /);
  assert.match(
    await send('multipart/form-data; boundary=b', '--b--\r\n'),
    /^400 file: expected a file, but it is missing/,
  );
  assert.equal(toy.log.filter(({ level }) => Number(level) >= 50).length, 0);
});

test('an upload whose caller goes away leaves nothing', async () => {
  await using toy = await serve();
  const socket = connect(Number(new URL(toy.server.url).port), '127.0.0.1');
  socket.on('error', () => {});
  const head = [
    'POST /files HTTP/1.1',
    'host: x',
    'content-type: multipart/form-data; boundary=b',
    'content-length: 9999999',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n`);
  await new Promise((resolve) => socket.write('x'.repeat(3_000_000), resolve));
  socket.destroy();
  await until(() => toy.log.some(({ path }) => path === '/files'));
  const { files } = clientOf(toy);
  assert.deepEqual((await files.list()).data, []);
  assert.equal(toy.log.filter(({ level }) => Number(level) >= 50).length, 0);
});

test('more than an owner may keep is refused, and nothing of it is kept', async () => {
  const fileLimits = { fileBytes: 5_000_000, files: 3, totalBytes: 6_000_000 };
  await using toy = await serve({ fileLimits });
  const { files } = clientOf(toy);
  const upload = async (bytes: number) =>
    await files.create({ file: await toFile(Buffer.alloc(bytes), 'x'), purpose: 'batch' });
  await assert.rejects(upload(5_000_001), /413 file: is larger than 5000000 bytes/);
  await upload(4_000_000);
  await assert.rejects(upload(2_500_000), (error) => error instanceof BadRequestError && error.param === 'file');
  assert.deepEqual(await toy.store.files.total(''), { count: 1, bytes: 4_000_000 });
  await upload(1);
  await upload(1);
  await assert.rejects(upload(1), /there is no room for it beside the others: 3 files of together 6000000 bytes/);
});
