// BLEU of one sentence.
//
// Owns BLEU (Papineni et al. 2002) as sacreBLEU has it for a sentence (Post 2018): tokens of mteval-v13a, up to four of them, the
// effective order, exponential smoothing. Where a text has Chinese characters, each is a token, as in sacreBLEU's `zh`.

import { ngramCounts, sharedCount } from './words.ts';

const maxOrder = 4;

/** From 0 to 1; 0 where no token is shared. */
export function bleu(input: string, reference: string): number {
  const isChinese = /\p{Script=Han}/u.test(input + reference);
  const candidate = tokensOf(input, isChinese);
  const expected = tokensOf(reference, isChinese);
  let logarithms = 0;
  let order = 0;
  let smoothing = 1;
  for (let n = 1; n <= maxOrder && candidate.length >= n; n++) {
    const total = candidate.length - n + 1;
    const shared = sharedCount(ngramCounts(candidate, n), ngramCounts(expected, n));
    if (n === 1 && shared === 0) return 0;
    if (shared === 0) smoothing *= 2;
    logarithms += Math.log(shared === 0 ? 1 / (smoothing * total) : shared / total);
    order = n;
  }
  if (order === 0) return 0;
  const brevity = candidate.length < expected.length ? 1 - expected.length / candidate.length : 0;
  return Math.exp(brevity + logarithms / order);
}

/** The rules of mteval-v13a.pl. */
function tokensOf(text: string, isChinese: boolean): string[] {
  const plain = isChinese
    ? text.trim().replace(/[\p{Script=Han}\u2e80-\u303f\u3100-\u312f\u31a0-\u33ff\ufe10-\ufe4f\uff00-\uffef]/gu, ' $& ')
    : ` ${unescaped(text)} `;
  return plain
    .replace(/[{-~[-` -&(-+:-@/]/g, ' $& ')
    .replace(/([^0-9])([.,])/g, '$1 $2 ')
    .replace(/([.,])([^0-9])/g, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
    .split(/\s+/)
    .filter((token) => token !== '');
}

function unescaped(text: string): string {
  return text
    .replaceAll('<skipped>', '')
    .replaceAll('-\n', '')
    .replaceAll('\n', ' ')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>');
}
