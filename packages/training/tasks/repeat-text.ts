// repeat-text: say again exactly what was given, plainly, as a JSON list, line by line or letter by letter.
//
// Owns short texts (words, names, codes, numbers, identifiers) and the wordings that ask for them again. It is here for what it
// teaches: copying and spelling what was never seen, token by token, which tool arguments, JSON values and every worked
// solution rely on. Words keep to their split of count-letters, so that no held-out word is ever spelled in training.
import { isDeepStrictEqual } from 'node:util';
import { pythonJson } from '@hadal/formats/chat/python-json';
import { correct, expertTurn, wrong } from './evaluate-answer.ts';
import { ask, phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import { type ChatProblem, drawFor, type Language, type Split, splitOf, type Task } from './task.ts';
import { people, places, things } from './vocabulary.ts';
import { commonWords, furtherWords } from './words.ts';

type Form = 'plain' | 'list' | 'lines' | 'letters';

const name = 'repeat-text';

export const repeatText: Task = {
  name,
  generate(split, index): ChatProblem {
    const { drawn, random } = drawFor(name, split, index, (draws) => {
      const language: Language = draws.chance(0.25) ? 'zh' : 'en';
      const form = draws.weighted<Form>([
        ['plain', 40],
        ['list', 25],
        ['lines', 10],
        ['letters', 25],
      ]);
      const parts = form === 'letters' ? drawSpelled(draws, split) : drawParts(draws, language, split);
      return { language, form, parts, key: parts.join(' '), isSmall: false };
    });
    const { language, form, parts } = drawn;
    const separator =
      language === 'zh' ? random.pick(['、', '，', ' ']) : random.pick([', ', ' ', form === 'plain' ? ' ' : ', ']);
    const text = parts.join(
      form === 'plain' || form === 'letters' ? separator : separator.trim() === '' ? ', ' : separator,
    );
    const expected = answer(form, parts, text);
    const thinking = random.chance(0.4);
    return {
      kind: 'chat',
      task: name,
      language,
      thinking,
      key: drawn.key,
      messages: ask(random, language, phrase(random, requests[language][form], { text })),
      tools: [],
      solution: [expertTurn(thinking, thinking ? thought[language] : '', expected)],
      judge: (final) => (isSame(form, final.content, expected) ? correct : wrong(expected, final.content)),
    };
  },
};

function answer(form: Form, parts: readonly string[], text: string): string {
  switch (form) {
    case 'plain':
      return text;
    case 'list':
      return pythonJson(parts);
    case 'lines':
      return parts.join('\n');
    case 'letters':
      return parts.map((word) => [...word.toLowerCase()].join(' ')).join('\n');
  }
}

function isSame(form: Form, content: string, expected: string): boolean {
  if (form !== 'list') return content.trim() === expected;
  try {
    return isDeepStrictEqual(JSON.parse(content), JSON.parse(expected));
  } catch {
    return false;
  }
}

function drawParts(random: Random, language: Language, split: Split): string[] {
  return Array.from({ length: random.integer(2, 14) }, () => drawPart(random, language, split));
}

function drawSpelled(random: Random, split: Split): string[] {
  return Array.from({ length: random.integer(1, 4) }, () => drawWord(random, split));
}

function drawPart(random: Random, language: Language, split: Split): string {
  const kind = random.weighted([
    ['word', 46],
    ['name', 22],
    ['number', 12],
    ['code', 8],
    ['identifier', 12],
  ] as const);
  switch (kind) {
    case 'word':
      return language === 'zh'
        ? random.pick([random.pick(things).zh, random.pick<string>(places.zh)])
        : drawWord(random, split);
    case 'name':
      return random.pick<string>(random.pick([people[language], places[language]]));
    case 'number':
      return random.chance(0.3)
        ? String(random.integer(0, 9999) / 100)
        : String(random.integer(0, 10 ** random.integer(1, 6) - 1));
    case 'code':
      return `${random.pick([...'ABCDEFGHKLMNPRSTVWX'])}${random.pick(['-', ''])}${random.integer(10, 9999)}`;
    case 'identifier':
      return `${random.pick(commonWords)}${random.pick(['_', '_', '.', '-'])}${random.pick(commonWords)}`;
  }
}

function drawWord(random: Random, split: Split): string {
  for (;;) {
    const word = random.pick(random.chance(0.3) ? commonWords : furtherWords);
    if (splitOf('count-letters', word) !== split) continue;
    return random.chance(0.1) ? word.charAt(0).toUpperCase() + word.slice(1) : word;
  }
}

const thought: Readonly<Record<Language, string>> = { en: 'I say it again.', zh: '我再说一遍。' };

const requests: Readonly<Record<Language, Readonly<Record<Form, string>>>> = {
  en: {
    plain:
      '{{Repeat|Say|Write|Copy|Echo|Please repeat|Can you repeat} {this|after me|the following|exactly this|this text}: $text|Repeat after me: $text|Say: $text|' +
      'What I say, you say: $text|Copy this line.\n$text|Write this down exactly.\n$text|$text\nRepeat that.}',
    list: '{{Write|Give me|Turn|Put} {this|these|the following} {into|as} a JSON list: $text|As a JSON array: $text|Make a JSON list of $text|$text\nAs a JSON list, please.}',
    lines:
      '{{Write|Put} {each|every one} on a line of its own: $text|One per line: $text|List these line by line: $text}',
    letters:
      '{{Spell|Please spell|How do you spell|Can you spell|Spell out} $text|Write the letters of $text|Letter by letter: $text|$text\nSpell {it|that}.}',
  },
  zh: {
    plain:
      '{{重复|复述|照抄|跟我说|请重复|请照着写}{这句|下面的话|以下内容|}：$text|跟我念：$text|原样写出：$text|$text\n重复一遍。|照抄这一行。\n$text}',
    list: '{{写成|变成|转成}JSON列表：$text|用JSON数组列出：$text|$text\n写成JSON列表。}',
    lines: '{每行一个：$text|一行写一个：$text|逐行列出：$text}',
    letters: '{{拼写|请拼写|怎么拼写|拼一下}$text|写出$text的字母|$text\n逐个字母拼出来。}',
  },
};
