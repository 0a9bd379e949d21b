// The clients that Hadal is tried with, and how each is run.
//
// Owns which program tries which client and what must be installed for it. A program gets the addresses of two servers, plays its
// scenes, prints a line for each and fails with the first that fails. Knows nothing of what the servers run.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { type Need, pythonPath } from './install.ts';

export interface Client {
  readonly program: string;
  readonly needs: Need;
}

export const clients = {
  openai: { program: 'programs/openai.mjs', needs: 'packages' },
  'openai-python': { program: 'python/openai_client.py', needs: 'python' },
  'reasoning-guide': { program: 'python/reasoning_guide.py', needs: 'python' },
  anthropic: { program: 'programs/anthropic.mjs', needs: 'packages' },
  'ai-sdk-deepseek': { program: 'programs/ai-sdk-deepseek.mjs', needs: 'packages' },
  'ai-sdk-open-responses': { program: 'programs/ai-sdk-open-responses.mjs', needs: 'packages' },
  'openai-agents': { program: 'programs/openai-agents.mjs', needs: 'packages' },
  'langchain-deepseek': { program: 'programs/langchain-deepseek.mjs', needs: 'packages' },
  dsh: { program: 'programs/dsh.mjs', needs: 'harness' },
  'claude-code': { program: 'programs/claude-code.mjs', needs: 'packages' },
  codex: { program: 'programs/codex.mjs', needs: 'packages' },
} as const satisfies Readonly<Record<string, Client>>;

/** Where the programs find a server: for answers, and for tasks with tools. */
export interface Addresses {
  readonly answering: string;
  readonly acting: string;
}

export interface Played {
  readonly code: number | null;
  /** A line for each scene, and what went wrong. */
  readonly output: string;
}

// Each takes a few seconds.
const limitMs = 90_000;

/** Runs the program of one client to its end. */
export async function play({ program, needs }: Client, { answering, acting }: Addresses): Promise<Played> {
  const runtime = needs === 'python' ? pythonPath : process.execPath;
  const child = spawn(runtime, [join(import.meta.dirname, program), answering, acting], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', NO_COLOR: '1' },
    timeout: limitMs,
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, output: stdout + stderr };
}
