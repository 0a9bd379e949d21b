// Whether packages that ship have known weaknesses: `node scripts/audit.mjs`.
//
// Owns what counts: a weakness of high or critical severity in a package that runs in production fails; that nobody could be asked
// does not, and is said. Plain JavaScript, like everything that may run before anything else does.

import { spawnSync } from 'node:child_process';
import process from 'node:process';

const severities = ['high', 'critical'];

const { stdout, stderr, error } = spawnSync('npm', ['audit', '--json', '--omit=dev', '--fetch-retries=1'], {
  encoding: 'utf8',
  maxBuffer: 64 * 2 ** 20,
});
/** @type {Record<string, { severity: string, range: string, via: unknown[] }> | undefined} */
const found = reportOf(stdout)?.vulnerabilities;
if (found === undefined) {
  const reason = reportOf(stdout)?.message ?? error?.message ?? stderr.trim().split('\n')[0];
  process.stdout.write(`audit: skipped, the registry gives no answer (${reason})\n`);
} else {
  const bad = Object.entries(found).filter(([, { severity }]) => severities.includes(severity));
  for (const [name, { severity, via }] of bad) {
    const reports = via.map((one) => (typeof one === 'string' ? `through ${one}` : urlOf(one)));
    process.stdout.write(`audit: ${name}: ${severity}: ${reports.join(', ')}\n`);
  }
  process.stdout.write(`audit: ${bad.length} of ${severities.join(' or ')} severity\n`);
  process.exitCode = bad.length > 0 ? 1 : 0;
}

function reportOf(/** @type {string | null} */ text) {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined; // npm was not there, or died.
  }
}

function urlOf(/** @type {unknown} */ report) {
  return /** @type {{ url?: string }} */ (report).url ?? 'no address';
}
