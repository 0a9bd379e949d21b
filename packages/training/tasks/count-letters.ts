// count-letters: how many times a letter occurs in a word.
//
// Owns the wordings, worked solution and judge of the task. The procedure spells the word and writes the running count
// beside each letter: "Count r: s0 t0 r1 a1 w1 b1 e1 r2 r3 y3", so that each step needs one letter and one number
// before it. A word belongs to one split with all of its letters: the spelling of a test word was never shown.
import { correct, expertTurn, wrong } from './evaluate-answer.ts';
import { ask, dress, phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import { type Answer, type ChatProblem, type Drawn, drawFor, type Language, type Task, type Verdict } from './task.ts';
import { commonWords, furtherWords } from './words.ts';

interface Word extends Drawn {
  readonly word: string;
}

const name = 'count-letters';

export const countLetters: Task = {
  name,
  generate(split, index): ChatProblem {
    const { drawn, random } = drawFor(name, split, index, drawWord);
    const { word } = drawn;
    const letter = drawLetter(random, word);
    const count = countOf(letter, word);
    const language: Language = random.chance(0.3) ? 'zh' : 'en';
    const thinking = !random.chance(0.15);
    const shown = showWord(random, word, language);
    const question = dress(
      random,
      language,
      phrase(random, questions[language], {
        word: shown,
        letter: showLetter(random, letter),
        plural: showPlural(random, letter),
      }),
      'kept',
    );
    const typed = language === 'en' && random.chance(0.12) ? question.toLowerCase() : question;
    return {
      kind: 'chat',
      task: name,
      language,
      thinking,
      key: drawn.key,
      messages: ask(random, language, typed),
      tools: [],
      solution: [expertTurn(thinking, spelled(letter, word, language), answer(letter, count, language))],
      judge: (final) => judge(final, count, word),
    };
  },
};

function drawWord(random: Random): Word {
  const word = random.pick(random.chance(0.25) ? commonWords : furtherWords);
  return { word, key: word, isSmall: false };
}

/** A letter of the word, the more often the more it repeats; sometimes one that is absent. */
function drawLetter(random: Random, word: string): string {
  if (random.chance(0.1)) return random.pick([...'abcdefghijklmnopqrstuvwxyz']);
  const repeated = [...word].filter((letter) => countOf(letter, word) > 1);
  return random.pick(repeated.length > 0 && random.chance(0.5) ? repeated : [...word]);
}

function countOf(letter: string, word: string): number {
  return word.split(letter).length - 1;
}

function showWord(random: Random, word: string, language: Language): string {
  const cased = random.weighted([
    [word, 86],
    [word.charAt(0).toUpperCase() + word.slice(1), 9],
    [word.toUpperCase(), 5],
  ]);
  const quotes: readonly (readonly [string, number])[] =
    language === 'zh'
      ? [
          ['$', 40],
          ['"$"', 20],
          ['“$”', 20],
          ['「$」', 5],
          ["'$'", 10],
        ]
      : [
          ['$', 45],
          ["'$'", 22],
          ['"$"', 28],
          ['`$`', 3],
          ['“$”', 2],
        ];
  return random.weighted(quotes).replace('$', cased);
}

function showLetter(random: Random, letter: string): string {
  const upper = letter.toUpperCase();
  return random.weighted([
    [letter, 45],
    [upper, 20],
    [`'${letter}'`, 15],
    [`"${letter}"`, 12],
    [`'${upper}'`, 4],
    [`"${upper}"`, 4],
  ]);
}

function showPlural(random: Random, letter: string): string {
  const upper = letter.toUpperCase();
  return random.weighted([
    [`${letter}'s`, 40],
    [`${upper}s`, 25],
    [`${letter}s`, 15],
    [`${upper}'s`, 10],
    [`'${letter}'s`, 5],
    [`"${letter}"s`, 5],
  ]);
}

function spelled(letter: string, word: string, language: Language): string {
  let count = 0;
  const steps: string[] = [];
  for (const each of word) {
    if (each === letter) count++;
    steps.push(`${each}${count}`);
  }
  return `${language === 'zh' ? `数${letter}：` : `Count ${letter}:`} ${steps.join(' ')}`;
}

/** The word is not said again: quoting an unseen word is one more thing to get wrong. */
function answer(letter: string, count: number, language: Language): string {
  if (language === 'zh') return `有${count}个${letter}。`;
  return count === 1 ? `There is 1 ${letter}.` : `There are ${count} ${letter}'s.`;
}

function judge(final: Answer, count: number, word: string): Verdict {
  const sentence = final.content.trim().split('\n').at(-1)!.toLowerCase().replaceAll(word, '');
  const came = readCount(sentence);
  return came === count ? correct : wrong(String(count), final.content);
}

/** The first count in the sentence, in digits or words. */
function readCount(sentence: string): number | undefined {
  const digits = sentence.match(/\d+/);
  if (digits) return Number(digits[0]);
  const word = sentence.match(
    /\b(zero|no|none|once|one|twice|two|three|four|five|six|seven|eight|nine)\b|没有|[零一两二三四五六七八九]/,
  );
  return word ? countWords[word[0]] : undefined;
}

const countWords: Readonly<Record<string, number>> = {
  zero: 0,
  no: 0,
  none: 0,
  once: 1,
  one: 1,
  twice: 2,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  没有: 0,
  零: 0,
  一: 1,
  两: 2,
  二: 2,
  三: 3,
  四: 4,
  五: 5,
  六: 6,
  七: 7,
  八: 8,
  九: 9,
};

const questions: Readonly<Record<Language, string>> = {
  en:
    '{How many $letter {are there |are |}in {the word |}$word?|How many {$plural|letters $letter} {does {the word |}$word have|are there in {the word |}$word|has {the word |}$word got}?|' +
    'How many $plural {are there in|are in|in|can you find in|do you see in|do I see in} {the word |}$word?|' +
    'How many times {does {the letter |}$letter {appear|occur|come up|show up}|is {the letter |}$letter used} in {the word |}$word?|' +
    '{Count|Please count|Can you count|Could you count} {the {letter |}$plural|the number of $plural|how many $plural there are} in {the word |}$word{.|?|}|' +
    '{What is|Tell me|Give me|Find} the number of {$plural|times $letter appears|occurrences of $letter} in {the word |}$word{?|.|}|' +
    '{How often|How frequently} {does $letter {appear|occur}|is the letter $letter used} in $word?|' +
    'In {the word |}$word, how many {$plural are there|times does $letter appear|letters are $letter|$plural do you see}?|' +
    '{The word |}$word {contains|has} how many {$plural|letters $letter}?|' +
    '{How many|number of} $plural in $word|$word: how many $plural?|Spell $word and count the {letter |}$plural{.|}|' +
    "Do you know how many $plural are in {the word |}$word?|{Does|Doesn't} $word contain the letter $letter? How many times?|" +
    '{If I write|When you spell} $word, how {many $plural do I need|many times do you write $letter}?}',
  zh:
    '{{单词|英文单词|英语单词|这个词|}$word{里|中|里面|当中}{有|一共有|总共有|含有|包含}{几个|多少个}{字母|}$letter？|' +
    '{字母|}$letter在{单词|}$word{里|中}{出现|出现了}{几次|多少次}？|{请|帮我|}{数一数|数一下|数数|统计}{单词|}$word{里|中}{有|}{几个|多少个}{字母|}$letter{。|？|}|' +
    '$word{这个单词|这个词|}{里|中}的{字母|}$letter有{几个|多少个}？|拼写$word{要|需要}{用|写}{几个|多少个}{字母|}$letter？|' +
    '$word有几个$letter{？|}|{告诉我|请说出}$word{中|里}{字母|}$letter的{个数|数量|次数}{。|}|{单词|}$word{中|里}，$letter{出现了{几次|多少次}|共有几个}？}',
};
