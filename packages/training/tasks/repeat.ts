// repeat: copy what the prompt says, or the part of it that is asked for.
//
// Owns what each form shows, the expert's answer and the judge; items are repeat-material.ts, words are repeat-wordings.ts.
// It is there for what it teaches: to find a place in the prompt and copy from it token by token, which JSON values and
// tool arguments need. Unlike repeat-text, most forms select. An answer is bare: nothing is said around what is copied.
import { isDeepStrictEqual } from 'node:util';
import { correct, expertTurn, readJson, wrong } from './evaluate-answer.ts';
import { ask, phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import {
  drawItem,
  drawItems,
  drawLetters,
  drawRecord,
  drawSpellable,
  type Entry,
  type ItemKind,
  recordJson,
} from './repeat-material.ts';
import { type FormName, labels, scenes, wordings } from './repeat-wordings.ts';
import { type ChatProblem, drawFor, type Language, type Split, type Task } from './task.ts';

/** One question before it is worded. */
interface Posed {
  /** What there is to copy; its hash decides the split, whatever is asked about it. */
  readonly material: readonly string[];
  /** What the wordings place. */
  readonly values: Readonly<Record<string, string>>;
  readonly answer: string;
  /** The step before the answer; where there is none, the reasoning says that it is copied. */
  readonly working?: string;
}

type Pose = (random: Random, language: Language, split: Split) => Posed;

const name = 'repeat';

export const repeat: Task = {
  name,
  generate(split, index): ChatProblem {
    const { drawn, random } = drawFor(name, split, index, (draws) => {
      const language: Language = draws.chance(0.3) ? 'zh' : 'en';
      const form = draws.weighted(weights);
      const posed = poses[form](draws, language, split);
      return { language, form, posed, key: posed.material.join(' '), isSmall: false };
    });
    const { language, form, posed } = drawn;
    const thinking = random.chance(0.25);
    const working = posed.working ?? (language === 'zh' ? '照抄。' : 'I copy it.');
    const opening = random.chance(0.12) ? phrase(random, openings[language]) : '';
    return {
      kind: 'chat',
      task: name,
      language,
      thinking,
      key: drawn.key,
      messages: ask(random, language, opening + phrase(random, wordings[language][form], posed.values)),
      tools: [],
      solution: [expertTurn(thinking, thinking ? working : '', posed.answer)],
      judge: (final) => (isSame(form, final.content, posed.answer) ? correct : wrong(posed.answer, final.content)),
    };
  },
};

/** The same characters; JSON by its values, several items whatever parts them, quotes of any style. */
function isSame(form: FormName, content: string, expected: string): boolean {
  switch (form) {
    case 'json':
      return isDeepStrictEqual(readJson(content), readJson(expected));
    case 'pickTwo':
    case 'without':
      return isDeepStrictEqual(content.trim().split(/[\s,，、]+/), expected.split(/[\s,，、]+/));
    case 'quote':
      return content.trim().replace(/^[“「]|[”」]$/g, '"') === expected.replace(/[“”]/g, '"');
    default:
      return content.trim() === expected;
  }
}

const weights: readonly (readonly [FormName, number])[] = [
  ['say', 14],
  ['quote', 4],
  ['twice', 5],
  ['relist', 6],
  ['pick', 10],
  ['pickTwo', 5],
  ['edge', 5],
  ['neighbour', 8],
  ['without', 4],
  ['spell', 10],
  ['backward', 4],
  ['value', 13],
  ['keyOf', 6],
  ['json', 13],
  ['fill', 10],
  ['mentioned', 5],
  ['absent', 2],
];

const poses: Readonly<Record<FormName, Pose>> = {
  say: (random, language, split) => {
    const { material, text } = drawText(random, language, split, 6);
    return { material, values: { text }, answer: text };
  },
  quote: (random, language, split) => {
    const { material, text } = drawText(random, language, split, 4);
    return { material, values: { text }, answer: language === 'zh' ? `“${text}”` : `"${text}"` };
  },
  twice: (random, language, split) => {
    const { material, text } = drawText(random, language, split, 3);
    const [how, between] = random.pick(twiceLayouts[language]);
    return { material, values: { text, how }, answer: text + between + text };
  },
  relist: (random, language, split) => {
    const material = drawItems(random, language, split, random.integer(3, 6));
    const [from, to] = random.sample(listLayouts[language], 2);
    return { material, values: { text: from!.show(material), how: to!.how }, answer: to!.show(material) };
  },
  pick: (random, language, split) => {
    const material = drawItems(random, language, split, random.integer(3, 8));
    const index = random.integer(0, material.length - 1);
    const fromEnd = material.length - 1 - index;
    const named = positions[language];
    const place =
      fromEnd < 2 && random.chance(0.6) ? named.fromEnd[fromEnd]! : named.one.replace('$', named.ordinals[index]!);
    return { material, values: { text: showList(random, language, material), place }, ...found(material, [index]) };
  },
  pickTwo: (random, language, split) => {
    const material = drawItems(random, language, split, random.integer(3, 7));
    const indices = random.sample([...material.keys()], 2).sort((a, b) => a - b);
    const [first = '', second = ''] = indices.map((index) => positions[language].ordinals[index]!);
    const place = language === 'zh' ? `第${first}个和第${second}个` : `${first} and ${second}`;
    const { working } = found(material, indices);
    const answer = indices.map((index) => material[index]!).join(comma[language]);
    return { material, values: { text: showList(random, language, material), place }, answer, working };
  },
  edge: (random, language, split) => {
    const material = drawItems(random, language, split, random.integer(3, 7));
    const isFirst = random.chance(0.4);
    const side = language === 'zh' ? (isFirst ? '第一个' : '最后一个') : isFirst ? 'first' : 'last';
    return { material, values: { text: material.join(' '), side }, answer: material.at(isFirst ? 0 : -1)! };
  },
  neighbour: (random, language, split) => {
    const material = drawItems(random, language, split, random.integer(3, 8));
    const index = random.integer(0, material.length - 2);
    const [item = '', next = ''] = material.slice(index, index + 2);
    const text = showList(random, language, material);
    const working = `${item}${comma[language]}${next}`;
    return random.chance(0.7)
      ? { material, values: { text, item, side: language === 'zh' ? '后面' : 'after' }, answer: next, working }
      : { material, values: { text, item: next, side: language === 'zh' ? '前面' : 'before' }, answer: item, working };
  },
  without: (random, language, split) => {
    const material = drawItems(random, language, split, random.integer(3, 6));
    const item = random.pick(material);
    const answer = material.filter((each) => each !== item).join(comma[language]);
    return { material, values: { text: showList(random, language, material), item }, answer };
  },
  spell: (random, language, split) => {
    const word = random.chance(0.8) ? drawSpellable(random, split) : drawLetters(random, random.integer(3, 9));
    const [hows, between] = random.pick(spellings);
    return { material: [word], values: { word, how: hows[language] }, answer: [...word].join(between) };
  },
  backward: (random, _language, split) => {
    const word = random.weighted([
      [drawSpellable(random, split, 6), 60],
      [drawLetters(random, random.integer(3, 5)), 20],
      [String(random.integer(100, 999_999)), 20],
    ]);
    return { material: [word], values: { word }, answer: [...word].reverse().join(''), working: [...word].join(' ') };
  },
  value: (random, language, split) => {
    const { entries, material, record } = drawShownRecord(random, language, split, 2);
    const { key, value } = random.pick(entries);
    return { material, values: { record, key }, answer: value, working: `${key}: ${value}` };
  },
  keyOf: (random, language, split) => {
    const { entries, material, record } = drawShownRecord(random, language, split, 2);
    const { key, value } = random.pick(entries);
    return { material, values: { record, value }, answer: key, working: `${key}: ${value}` };
  },
  json: (random, language, split) => {
    const { entries, material, record } = drawShownRecord(random, language, split, 3);
    const asked = random.sample(entries, random.integer(2, 3));
    const keys = enumerate(
      language,
      asked.map((entry) => entry.key),
      language === 'zh' ? '和' : ' and ',
    );
    return { material, values: { record, keys }, answer: recordJson(asked) };
  },
  fill: (random, language, split) => {
    const scene = random.pick(scenes[language]);
    const kinds = new Set([...scene.matchAll(/\$([a-z]+)/g)].map((match) => match[1] as ItemKind));
    const fields = [...kinds].map((kind) => ({ kind, value: drawItem(random, language, split, kind) }));
    const text = phrase(random, scene, Object.fromEntries(fields.map(({ kind, value }) => [kind, value])));
    const titled = random
      .shuffle(fields)
      .map(({ kind, value }) => ({ title: phrase(random, labels[language][kind]!), value }));
    const colon = language === 'zh' && random.chance(0.7) ? '：' : ': ';
    const between = random.pick(['\n', '\n', language === 'zh' ? '，' : ', ']);
    const blank = random.pick(['{}', '{..}', '___', '...', '[ ]']);
    return {
      material: fields.map(({ value }) => value),
      values: { text, form: titled.map(({ title }) => title + colon + blank).join(between) },
      answer: titled.map(({ title, value }) => title + colon + value).join(between),
    };
  },
  mentioned: (random, language, split) => poseChoice(random, language, split, 1),
  absent: (random, language, split) => poseChoice(random, language, split, 2),
};

/** Three options, one of which is in the text, or all but one. */
function poseChoice(random: Random, language: Language, split: Split, mentioned: 1 | 2): Posed {
  const items = drawItems(random, language, split, random.integer(4, 7));
  const others = items.splice(0, 3 - mentioned);
  const options = [...random.sample(items, mentioned), ...others];
  return {
    material: [...items, ...others],
    values: {
      text: enumerate(language, items, language === 'zh' ? '和' : ' and '),
      options: enumerate(language, random.shuffle(options), language === 'zh' ? '还是' : ' or '),
    },
    answer: mentioned === 1 ? options[0]! : options[2]!,
  };
}

/** A line of up to `most` items, however they are parted, or of letters without sense. */
function drawText(random: Random, language: Language, split: Split, most: number) {
  if (random.chance(0.12)) {
    const letters = drawLetters(random, random.integer(5, 14));
    return { material: [letters], text: random.chance(0.3) ? letters.toUpperCase() : letters };
  }
  const material = drawItems(random, language, split, random.integer(1, most));
  return { material, text: material.join(random.pick(language === 'zh' ? ['，', '、', ' '] : [', ', ' ', ' '])) };
}

function drawShownRecord(random: Random, language: Language, split: Split, least: number) {
  const entries = drawRecord(random, language, split, random.integer(least, least + 2));
  const material = entries.flatMap(({ key, value }) => [key, value]);
  return { entries, material, record: showRecord(random, language, entries) };
}

function showRecord(random: Random, language: Language, entries: readonly Entry[]): string {
  if (random.chance(0.45)) return recordJson(entries);
  const equals = random.pick(language === 'zh' ? ['：', '：', ': ', '='] : [': ', ': ', ' = ', '=']);
  const between = random.pick(['\n', '\n', '\n', language === 'zh' ? '，' : ', ']);
  return entries.map(({ key, value }) => key + equals + value).join(between);
}

/** The answer at one of the indices, and the way there: the items counted up to it. */
function found(items: readonly string[], indices: readonly number[]) {
  const last = indices.at(-1)!;
  const counted = items.slice(0, last + 1).map((item, i) => `${i + 1} ${item}`);
  return { answer: items[last]!, working: counted.join(', ') };
}

function showList(random: Random, language: Language, items: readonly string[]): string {
  return random.chance(0.8) ? items.join(comma[language]) : items.join(' ');
}

function enumerate(language: Language, items: readonly string[], last: string): string {
  return items.slice(0, -1).join(comma[language]) + last + items.at(-1)!;
}

const comma: Readonly<Record<Language, string>> = { en: ', ', zh: '、' };

const openings: Readonly<Record<Language, string>> = {
  en: '{Hi! |Hello! |Hey! |Okay. |Next one. |A small task. |Please help. |Good morning! }',
  zh: '{你好！|您好！|好的。|下一个。|帮个忙。|麻烦你。|早上好！}',
};

const twiceLayouts: Readonly<Record<Language, readonly (readonly [how: string, between: string])[]>> = {
  en: [
    ['', ' '],
    [' with a comma between', ', '],
    [' on two lines', '\n'],
  ],
  zh: [
    ['', ' '],
    ['，用逗号隔开', '，'],
    ['，分两行', '\n'],
  ],
};

const spellings: readonly (readonly [hows: Readonly<Record<Language, string>>, between: string])[] = [
  [{ en: '', zh: '' }, ' '],
  [{ en: ' with spaces', zh: '，用空格隔开' }, ' '],
  [{ en: ' with hyphens', zh: '，用连字符隔开' }, '-'],
];

interface ListLayout {
  readonly how: string;
  show(items: readonly string[]): string;
}

const listLayouts: Readonly<Record<Language, readonly ListLayout[]>> = {
  en: [
    { how: 'separated by commas', show: (items) => items.join(', ') },
    { how: 'with one item per line', show: (items) => items.join('\n') },
    { how: 'with a hyphen before each item', show: (items) => items.map((item) => `- ${item}`).join('\n') },
    { how: 'with numbers', show: (items) => items.map((item, i) => `${i + 1}. ${item}`).join('\n') },
  ],
  zh: [
    { how: '顿号隔开的一行', show: (items) => items.join('、') },
    { how: '每行一个的形式', show: (items) => items.join('\n') },
    { how: '带短横线的列表', show: (items) => items.map((item) => `- ${item}`).join('\n') },
    { how: '带编号的列表', show: (items) => items.map((item, i) => `${i + 1}. ${item}`).join('\n') },
  ],
};

/** How a place in a list is named; `$` stands for the ordinal. */
const positions = {
  en: {
    ordinals: ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth'],
    one: '$',
    fromEnd: ['last', 'second to last'],
  },
  zh: {
    ordinals: ['一', '二', '三', '四', '五', '六', '七', '八'],
    one: '第$个',
    fromEnd: ['最后一个', '倒数第二个'],
  },
} as const;
