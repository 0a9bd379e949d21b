// An upstream that answers at once, in a process of its own: chat completions, whole and streamed.
//
// Tells its parent its address. A request whose message is "wait" gets one chunk and then nothing.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';

const usage = { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 };
const head = { id: 'chatcmpl-1', created: 1, model: 'fake' };
const whole = JSON.stringify({
  ...{ ...head, object: 'chat.completion' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'a few words' }, finish_reason: 'stop' }],
  usage,
});
const chunk = (delta: object, more: object = {}) =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null, ...more }] })}\n\n`;
const first = chunk({ role: 'assistant', content: 'a few ' });
const rest = `${chunk({ content: 'words' })}${chunk({}, { finish_reason: 'stop' })}data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\ndata: [DONE]\n\n`;

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ object: 'list', data: [{ id: 'fake', object: 'model', max_model_len: 8192 }] }));
    return;
  }
  let body = '';
  request.setEncoding('utf8').on('data', (text: string) => {
    body += text;
  });
  request.on('end', () => {
    if (!body.includes('"stream":true') && !body.includes('"stream": true')) {
      response.setHeader('content-type', 'application/json');
      response.end(whole);
      return;
    }
    response.setHeader('content-type', 'text/event-stream');
    response.write(first);
    if (!body.includes('"wait"')) response.end(rest);
  });
});
server.listen(0, '127.0.0.1', () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.on('disconnect', () => process.exit());
