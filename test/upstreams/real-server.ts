// A model server of other people's, with a tiny checkpoint.
//
// Owns its process, from the checkpoint that it serves to its end. What it says is noise, for the weights are random; how it says it
// is the real thing.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tinyQwen2Config, writeTinyCheckpoint } from '../tiny-checkpoint.ts';
import { environmentOf, type RealServer } from './install.ts';

export interface RunningServer extends AsyncDisposable {
  /** With `/v1`. */
  readonly url: string;
  /** What it calls its model. */
  readonly model: string;
}

/** In the manner of Qwen's, which both servers know. */
const chatTemplate =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}" +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

/** Resolves when it answers. Rejects with what it has printed when it ends before. */
export async function startRealServer(name: RealServer): Promise<RunningServer> {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-upstream-'));
  const tokens = { bos_token: '<｜begin▁of▁sentence｜>', eos_token: '<｜end▁of▁sentence｜>', pad_token: '<｜▁pad▁｜>' };
  writeTinyCheckpoint(directory, {
    config: tinyQwen2Config,
    files: {
      'tokenizer_config.json': {
        ...{ tokenizer_class: 'PreTrainedTokenizerFast', ...tokens, chat_template: chatTemplate },
      },
    },
  });
  const bin = join(environmentOf(name), 'bin');
  const child =
    name === 'llama-server'
      ? spawn(join(bin, 'python'), [join(import.meta.dirname, 'python/llama_server.py'), directory])
      : spawn(
          join(bin, 'transformers'),
          ['serve', directory, '--host', '127.0.0.1', '--port', '0', '--device', 'cpu'],
          {
            env: { ...process.env, HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' },
          },
        );
  let printed = '';
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      printed += error.message;
      resolve();
    });
  });
  const address = new Promise<string>((resolve) => {
    const look = (piece: Buffer) => {
      printed += piece.toString();
      const found = /(?:ready at|running on) (http:\/\/\S+)/.exec(printed)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
  });
  async function stop(): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
  const url = await Promise.race([address, ended]);
  if (url === undefined) {
    await stop();
    throw new Error(`${name}: expected it to start, it printed\n${printed.slice(-2000)}`);
  }
  return { url: `${url}/v1`, model: directory, [Symbol.asyncDispose]: stop };
}
