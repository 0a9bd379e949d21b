// Things to copy.
//
// Owns how items, keys and records are drawn for repeat: uniformly from large stores, so that nothing can be guessed and
// everything must be read. Knows nothing about questions. Invariant: no item holds a space, comma, quote or bracket, and
// words to be spelled are of the same split in count-letters, so that no held-out word is ever spelled in training.
import { pythonJson } from '@hadal/formats/chat/python-json';
import type { Random } from './random.ts';
import { type Language, type Split, splitOf } from './task.ts';
import { people, places, things } from './vocabulary.ts';
import { commonWords, furtherWords } from './words.ts';

export type ItemKind =
  | 'word'
  | 'name'
  | 'city'
  | 'thing'
  | 'number'
  | 'code'
  | 'mail'
  | 'time'
  | 'identifier'
  | 'letters'
  | 'characters'
  | 'mixed';

const kinds: Readonly<Record<Language, readonly (readonly [ItemKind, number])[]>> = {
  en: [
    ['word', 34],
    ['name', 10],
    ['city', 8],
    ['number', 10],
    ['code', 10],
    ['mail', 4],
    ['time', 6],
    ['identifier', 10],
    ['letters', 8],
  ],
  zh: [
    ['thing', 14],
    ['name', 12],
    ['city', 8],
    ['characters', 16],
    ['mixed', 8],
    ['word', 10],
    ['number', 10],
    ['code', 8],
    ['mail', 2],
    ['time', 5],
    ['identifier', 7],
  ],
};

/** `count` different items: all of one kind, so that the kind tells nothing, or of any. */
export function drawItems(random: Random, language: Language, split: Split, count: number): string[] {
  const only = random.chance(0.45) ? random.weighted(kinds[language]) : undefined;
  return distinct(count, () => drawItem(random, language, split, only ?? random.weighted(kinds[language])));
}

export function drawItem(random: Random, language: Language, split: Split, kind: ItemKind): string {
  switch (kind) {
    case 'word':
      return drawCopied(random, split);
    case 'name':
      return random.pick<string>(people[language]);
    case 'city':
      return random.pick<string>(places[language]);
    case 'thing':
      return random.pick(things).zh;
    case 'number':
      if (random.chance(0.2)) return String(random.integer(1, 99_999) / 100);
      return String(random.integer(0, 10 ** random.integer(1, 6) - 1));
    case 'code':
      return drawCode(random);
    case 'mail':
      return `${random.pick(people.en).toLowerCase()}${random.chance(0.3) ? random.integer(1, 99) : ''}@${drawCopied(random, split, 7)}.${random.pick(['com', 'org', 'net', 'de', 'cn'])}`;
    case 'time':
      return `${twoDigits(random.integer(0, 23))}:${twoDigits(random.integer(0, 59))}`;
    case 'identifier':
      return Array.from({ length: random.chance(0.8) ? 2 : 3 }, () => random.pick(commonWords)).join('_');
    case 'letters':
      return drawLetters(random, random.integer(2, 6));
    case 'characters':
      return Array.from({ length: random.integer(2, 4) }, () => random.pick(characters)).join('');
    case 'mixed':
      return `${random.pick(characters)}${drawCode(random)}${random.chance(0.5) ? random.pick(characters) : ''}`;
  }
}

/** A word to be spelled, of at most `longest` letters: one of the split's. */
export function drawSpellable(random: Random, split: Split, longest = 15): string {
  for (;;) {
    const word = drawWord(random, longest);
    if (splitOf('count-letters', word) === split) return word;
  }
}

/** A word to be copied. Held-out splits take any: there the material as a whole is new. */
function drawCopied(random: Random, split: Split, longest = 15): string {
  return split === 'train' ? drawSpellable(random, split, longest) : drawWord(random, longest);
}

function drawWord(random: Random, longest: number): string {
  for (;;) {
    const word = random.pick(random.chance(0.3) ? commonWords : furtherWords);
    if (word.length <= longest) return word;
  }
}

export function drawLetters(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.pick(alphabet)).join('');
}

function drawCode(random: Random): string {
  const head = drawLetters(random, random.integer(1, 2)).toUpperCase();
  const digits = random.integer(10, 9999);
  return random.pick([`${head}-${digits}`, `${head}${digits}`, `${digits}${head}`, `#${digits}`]);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

const alphabet: readonly string[] = [...'abcdefghijklmnopqrstuvwxyz'];

/** Every character of the Chinese names and things. */
const characters: readonly string[] = [
  ...new Set([...people.zh, ...places.zh, ...things.map((thing) => thing.zh)].join('')),
];

/** A line of a record. */
export interface Entry {
  readonly key: string;
  readonly value: string;
}

/** Entries with different keys and different values; one says nothing about the other. */
export function drawRecord(random: Random, language: Language, split: Split, count: number): Entry[] {
  const isChinese = language === 'zh' && random.chance(0.6);
  const keys = distinct(count, () => {
    if (isChinese) return random.pick([random.pick(chineseKeys), drawItem(random, 'zh', split, 'characters')]);
    return random.weighted([
      [random.pick(englishKeys), 25],
      [random.pick(commonWords), 40],
      [drawItem(random, 'en', split, 'identifier'), 35],
    ]);
  });
  const values = drawItems(random, language, split, count);
  return keys.map((key, i) => ({ key, value: values[i]! }));
}

const englishKeys =
  'name city date time code price count email phone status title color size room order user_id file_name unit level team'.split(
    ' ',
  );
const chineseKeys =
  '姓名 城市 日期 时间 编号 价格 数量 邮箱 电话 状态 标题 颜色 尺寸 房间 订单 用户 文件 单位 级别 团队'.split(' ');

/** The record as JSON, its plain numbers as numbers. */
export function recordJson(entries: readonly Entry[]): string {
  return pythonJson(Object.fromEntries(entries.map(({ key, value }) => [key, jsonValue(value)])));
}

/** "0123" and "18:30" are strings. */
function jsonValue(value: string): string | number {
  return String(Number(value)) === value ? Number(value) : value;
}

function distinct(count: number, draw: () => string): string[] {
  const found = new Set<string>();
  while (found.size < count) found.add(draw());
  return [...found];
}
