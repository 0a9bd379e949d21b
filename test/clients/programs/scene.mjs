// What every program here begins with.
//
// Owns where the servers are (the two arguments) and how a program tells what it did: a line for each scene. The first that
// fails ends it.

import process from 'node:process';

/** Two servers, or twice the same: one with a model that answers, one whose model follows a script where tools are used. */
export const [answering = '', acting = answering] = process.argv.slice(2);
if (answering === '') throw new Error('expected the address of a server, such as http://127.0.0.1:10935');

/** @param {string} title @param {() => Promise<void>} play */
export async function scene(title, play) {
  try {
    await play();
  } catch (error) {
    process.stderr.write(`failed: ${title}\n`);
    throw error;
  }
  process.stdout.write(`${title}\n`);
}

export const question = '9.11 and 9.8, which is greater?';
export const model = 'deepseek-flash';
/** What the tools of the programs find out. */
export const report = (/** @type {string} */ city) => (city === 'Paris' ? 'sunny' : 'rainy');
