// DeepSeek Harness in its headless profile: it writes a file and shows it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { assertWritten, runClient, task, workplace } from './coding.mjs';
import { acting, scene } from './scene.mjs';

await scene('writes a file and shows it', async () => {
  const { home, work } = workplace('task');
  const env = {
    DSH_HOME: join(home, '.dsh'),
    DEEPSEEK_BASE_URL: acting,
    DEEPSEEK_API_KEY: 'none',
    // It asks otherwise, and there is nobody to answer.
    DSH_PERMISSION_MODE: 'danger-full-access',
  };
  const output = await runClient('dsh', ['--profile', 'headless', task], { work, home, env, folder: '../dsh' });
  assertWritten(work);
  assert.match(output, /deep sea/);
});
