// compare-decimals: which of two decimal numbers is greater.
//
// Owns the numbers, wordings, worked solution and judge of the task. The procedure is one walk used twice: write both parts
// with the same number of digits (zeros before an integer part, after a decimal part), then compare digit by digit; the
// first difference decides. Knows nothing about other tasks.
import { correct, expertTurn, wrong } from './evaluate-answer.ts';
import { ask, dress, phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import { type Answer, type ChatProblem, type Drawn, drawFor, type Language, type Task, type Verdict } from './task.ts';

type Relation = '<' | '=' | '>';
/** What is asked: the greater, the smaller, the sign between the two, or whether a relation holds. */
type Question = 'greater' | 'smaller' | 'sign' | 'is-greater' | 'is-smaller';

interface Pair extends Drawn {
  readonly a: string;
  readonly b: string;
}

const name = 'compare-decimals';
const numeral = /-?\d+(?:\.\d+)?/g;

export const compareDecimals: Task = {
  name,
  generate(split, index): ChatProblem {
    const { drawn, random } = drawFor(name, split, index, drawPair);
    const { a, b } = drawn;
    const relation = relate(a, b);
    const language: Language = random.chance(0.3) ? 'zh' : 'en';
    const thinking = !random.chance(0.2);
    const asked = random.weighted<Question>([
      ['greater', 55],
      ['smaller', 18],
      ['sign', 9],
      ['is-greater', 12],
      ['is-smaller', 6],
    ]);
    const question = dress(random, language, phrase(random, questions[language][asked], { a, b }));
    return {
      kind: 'chat',
      task: name,
      language,
      thinking,
      key: drawn.key,
      messages: ask(random, language, question),
      tools: [],
      solution: [expertTurn(thinking, workedComparison(a, b, language), answer(a, b, relation, asked, language))],
      judge: (final) => judge(final, a, b, relation, asked),
    };
  },
};

/** Compares exactly, as decimal text. */
export function relate(a: string, b: string): Relation {
  const negativeA = a.startsWith('-');
  const negativeB = b.startsWith('-');
  if (negativeA !== negativeB) return Number(a) === 0 && Number(b) === 0 ? '=' : negativeA ? '<' : '>';
  const sign = relateDigits(alignedParts(a, b));
  return negativeA ? flip(sign) : sign;
}

function drawPair(random: Random): Pair {
  const integer = drawInteger(random);
  let a: string;
  let b: string;
  const kind = random.weighted([
    ['fraction', 58],
    ['prefix', 14],
    ['integer', 14],
    ['whole', 8],
    ['equal', 6],
  ] as const);
  if (kind === 'fraction') {
    a = `${integer}.${drawDigits(random, random.integer(1, 3))}`;
    b = `${integer}.${drawDigits(random, random.integer(1, 3))}`;
  } else if (kind === 'prefix') {
    const shared = drawDigits(random, random.integer(1, 2));
    a = `${integer}.${shared}${drawDigits(random, random.integer(0, 2))}`;
    b = `${integer}.${shared}${drawDigits(random, random.integer(1, 2))}`;
  } else if (kind === 'integer') {
    a = `${integer}.${drawDigits(random, random.integer(1, 3))}`;
    b = `${random.chance(0.5) ? drawInteger(random) : integer + 1}.${drawDigits(random, random.integer(1, 3))}`;
  } else if (kind === 'whole') {
    a = String(random.chance(0.5) ? integer : integer + 1);
    b = `${integer}.${drawDigits(random, random.integer(1, 3))}`;
  } else {
    const digits = drawDigits(random, random.integer(1, 2));
    a = `${integer}.${digits}`;
    b = `${a}${'0'.repeat(random.integer(1, 2))}`;
  }
  if (random.chance(0.5)) [a, b] = [b, a];
  const signs = random.weighted([
    ['++', 92],
    ['--', 5],
    ['-+', 3],
  ] as const);
  if (Number(a) === 0 || Number(b) === 0) return pair(a, b);
  if (signs === '--') [a, b] = [`-${a}`, `-${b}`];
  else if (signs === '-+') {
    if (random.chance(0.5)) a = `-${a}`;
    else b = `-${b}`;
  }
  return pair(a, b);
}

function pair(a: string, b: string): Pair {
  return { a, b, key: [canonical(a), canonical(b)].sort().join(' '), isSmall: false };
}

function drawInteger(random: Random): number {
  return random.weighted([
    [random.integer(0, 9), 55],
    [random.integer(10, 99), 33],
    [random.integer(100, 999), 12],
  ]);
}

function drawDigits(random: Random, count: number): string {
  let digits = '';
  for (let i = 0; i < count; i++) digits += random.integer(0, 9);
  return digits;
}

/** The same number has the same key however many zeros end it. */
function canonical(number: string): string {
  return number.includes('.') ? number.replace(/\.?0+$/, '') : number;
}

interface Parts {
  readonly integerA: string;
  readonly integerB: string;
  readonly decimalsA: string;
  readonly decimalsB: string;
}

function alignedParts(a: string, b: string): Parts {
  const [integerA = '', decimalsA = ''] = a.replace('-', '').split('.');
  const [integerB = '', decimalsB = ''] = b.replace('-', '').split('.');
  const before = Math.max(integerA.length, integerB.length);
  const after = Math.max(decimalsA.length, decimalsB.length);
  return {
    integerA: integerA.padStart(before, '0'),
    integerB: integerB.padStart(before, '0'),
    decimalsA: decimalsA.padEnd(after, '0'),
    decimalsB: decimalsB.padEnd(after, '0'),
  };
}

function relateDigits(parts: Parts): Relation {
  const a = parts.integerA + parts.decimalsA;
  const b = parts.integerB + parts.decimalsB;
  return a < b ? '<' : a > b ? '>' : '=';
}

/** "5=5 0=0" or "1=1 1<8": digit by digit up to the first difference. */
function digitWalk(a: string, b: string): string {
  const steps: string[] = [];
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i]!;
    steps.push(`${x}${x === y ? '=' : x < y ? '<' : '>'}${y}`);
    if (x !== y) break;
  }
  return steps.join(' ');
}

function workedComparison(a: string, b: string, language: Language): string {
  const words = workings[language];
  const relation = relate(a, b);
  const isNegativeA = a.startsWith('-');
  const isNegativeB = b.startsWith('-');
  if (isNegativeA !== isNegativeB) return placeValues(words.signs, { negative: isNegativeA ? a : b, a, b, relation });
  const parts = alignedParts(a, b);
  const x = a.replace('-', '');
  const y = b.replace('-', '');
  const walk = relateDigits(parts);
  let text = placeValues(words.integers, {
    x,
    y,
    p: parts.integerA,
    q: parts.integerB,
    walk: digitWalk(parts.integerA, parts.integerB),
  });
  if (parts.integerA === parts.integerB && parts.decimalsA !== '') {
    text += placeValues(words.decimals, {
      p: parts.decimalsA,
      q: parts.decimalsB,
      walk: digitWalk(parts.decimalsA, parts.decimalsB),
    });
  }
  text += placeValues(words.so, { x, y, relation: walk });
  if (isNegativeA) text += placeValues(words.flipped, { a, b, relation });
  return text;
}

const workings = {
  en: {
    signs: '$negative is negative, the other is not. So $a $relation $b.',
    integers: 'Integer parts $p and $q: $walk.',
    decimals: ' Decimals $p and $q: $walk.',
    so: ' So $x $relation $y.',
    flipped: ' Both are negative, so $a $relation $b.',
  },
  zh: {
    signs: '$negative是负数，另一个不是。所以$a $relation $b。',
    integers: '整数部分$p和$q：$walk。',
    decimals: '小数部分$p和$q：$walk。',
    so: '所以$x $relation $y。',
    flipped: '两个都是负数，所以$a $relation $b。',
  },
} as const;

/** Places values in a text without choices. */
function placeValues(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\$([a-zA-Z]+)/g, (_, key: string) => values[key] ?? '');
}

/** Names the winner alone: quoting the other number as well is one more thing to get wrong. */
function answer(a: string, b: string, relation: Relation, asked: Question, language: Language): string {
  const [greater, smaller] = relation === '<' ? [b, a] : [a, b];
  const isTrue = asked === 'is-smaller' ? relation === '<' : relation === '>';
  if (language === 'zh') {
    if (asked === 'sign') return `应该填 ${relation}。`;
    if (asked === 'greater') return relation === '=' ? '两个数相等。' : `${greater}更大。`;
    if (asked === 'smaller') return relation === '=' ? '两个数相等。' : `${smaller}更小。`;
    return relation === '=' ? '不，两个数相等。' : `${isTrue ? '是的' : '不'}，${greater}更大。`;
  }
  if (asked === 'sign') return `The sign is ${relation}.`;
  if (asked === 'greater') return relation === '=' ? 'They are equal.' : `${greater} is greater.`;
  if (asked === 'smaller') return relation === '=' ? 'They are equal.' : `${smaller} is smaller.`;
  return relation === '=' ? 'No, they are equal.' : `${isTrue ? 'Yes' : 'No'}, ${greater} is greater.`;
}

function judge(final: Answer, a: string, b: string, relation: Relation, asked: Question): Verdict {
  // The working of an answer without thinking stands above its last line.
  const sentence = final.content.trim().split('\n').at(-1)!;
  const claims = readClaims(sentence, a, b);
  const sign = sentence.match(/[<=>]/g);
  if (claims.size === 0 && asked === 'sign' && sign?.length === 1) claims.add(sign[0] as Relation);
  if (claims.size === 0) {
    const numbers = sentence.match(numeral) ?? [];
    const only = numbers.length === 1 ? numbers[0] : undefined;
    // A bare number is the one that was asked for.
    const asks: Relation = asked === 'smaller' ? '<' : '>';
    if (only === a || only === b) claims.add(only === a ? asks : flip(asks));
  }
  const says = readYesOrNo(sentence);
  if (says !== undefined && asked.startsWith('is-')) {
    const isTrue = asked === 'is-greater' ? relation === '>' : relation === '<';
    if (says !== isTrue) return wrong(isTrue ? 'yes' : 'no', final.content);
    if (claims.size === 0) return correct;
  }
  return claims.size === 1 && claims.has(relation) ? correct : wrong(`${a} ${relation} ${b}`, final.content);
}

/** Every relation between a and b that the text states; a right answer states one. */
function readClaims(sentence: string, a: string, b: string): Set<Relation> {
  const claims = new Set<Relation>();
  if (/\bequal|\bthe same\b|\bidentical\b|相等|一样大|相同|等于/.test(sentence)) claims.add('=');
  for (const clause of sentence.split(/[,;。，；\n]|\.(?!\d)/)) {
    const numbers = clause.match(numeral) ?? [];
    const word = /greater|bigger|larger|more than|higher|大|高|>/.test(clause)
      ? '>'
      : /smaller|less|lower|小|低|</.test(clause)
        ? '<'
        : /=/.test(clause)
          ? '='
          : undefined;
    const subject = numbers[0];
    if (word === undefined || subject === undefined) continue;
    // Compared as text first: of two equal numbers only the one that was written is meant.
    const isA = subject === a || (subject !== b && Number(subject) === Number(a));
    const isB = !isA && (subject === b || Number(subject) === Number(b));
    if (isA) claims.add(word);
    else if (isB) claims.add(flip(word));
  }
  return claims;
}

function readYesOrNo(content: string): boolean | undefined {
  if (/^\s*(yes\b|是的|对|没错)/i.test(content)) return true;
  if (/^\s*(no\b|不|否|错)/i.test(content)) return false;
  return undefined;
}

function flip(relation: Relation): Relation {
  return relation === '<' ? '>' : relation === '>' ? '<' : '=';
}

const questions: Readonly<Record<Language, Readonly<Record<Question, string>>>> = {
  en: {
    greater:
      '{$a {and|or|vs|vs.|versus} $b, which {one |number |}is {greater|bigger|larger|higher}?|' +
      'Which {one |number |of these |}is {greater|bigger|larger|the greater|the larger}{,|:} $a or $b?|' +
      "{What's|Whats|Which one's} {bigger|greater|larger}, $a or $b?|" +
      'Which is {greater|bigger|larger} between $a and $b?|' +
      'Of $a and $b, which {one |}is {greater|bigger|larger|the larger one}?|' +
      'Between $a and $b, {which|which one|what} is {greater|bigger|larger|the greater number}?|' +
      '{What|Which} is the {greater|bigger|larger} {number|one|value}{: | of |, |: is it }$a or $b?|' +
      'Compare $a and $b{.|: which is greater?|, which is bigger?| please.}|' +
      '{Find|Name|Pick|Tell me|Give me|Choose} the {greater|larger|bigger} {number|one|of the two}: $a{,| and| or} $b{.|?|}|' +
      'Is $a or $b {bigger|greater|larger}?|$a or $b{?| - which is bigger?| which is greater?|, which is larger?}|' +
      'max($a, $b){?|}|Which number {has the greater value|is worth more}, $a or $b?|' +
      'I have two numbers, $a and $b. Which {one |}is {greater|bigger|larger}?|' +
      'Which price is higher, $a or $b?|Which {distance|weight|length} is {larger|greater}, $a or $b?}',
    smaller:
      '{$a {and|or|vs|versus} $b, which {one |number |}is {smaller|less|lower}?|' +
      'Which {one |number |}is {smaller|less|lower|the smaller}{,|:} $a or $b?|' +
      "{What's|Whats|Which one's} {smaller|less}, $a or $b?|Which is {smaller|lower|less} between $a and $b?|" +
      'Between $a and $b, {which|which one|what} is {smaller|the smaller number|less}?|' +
      '{Find|Name|Pick|Tell me|Give me} the {smaller|lesser} {number|one|of the two}: $a{,| and| or} $b{.|?|}|' +
      'min($a, $b){?|}|Is $a or $b {smaller|less}?|Which price is lower, $a or $b?}',
    sign:
      '{{Fill in|Write|Put|Choose} <, > or ={:| for the blank:| in the gap:} $a {_|__|?|...} $b|$a {_|?|__} $b: <, > or =?|' +
      'Which sign belongs between $a and $b: <, > or =?|Put the {right|correct} sign (<, >, =) between $a and $b.}',
    'is-greater':
      '{Is $a {greater|bigger|larger|more|higher} than $b?|$a > $b?|Is it true that $a is {greater|bigger|larger} than $b?|' +
      '{True or false:|Right or wrong:|Yes or no:} $a {>|is greater than|is bigger than} $b{?|.|}|' +
      "$a is {greater|bigger|larger} than $b, {right|correct|isn't it|yes or no}?|Is $a > $b?|Would you say $a is bigger than $b?}",
    'is-smaller':
      '{Is $a {smaller|less|lower} than $b?|$a < $b?|Is it true that $a is {smaller|less} than $b?|' +
      '{True or false:|Yes or no:} $a {<|is less than|is smaller than} $b{?|.|}|Is $a < $b?|' +
      '$a is {smaller|less} than $b, {right|correct|yes or no}?}',
  },
  zh: {
    greater:
      '{$a{和|与|跟}$b{，|}{哪个|哪一个|哪个数}{更大|大|比较大|大一些|大一点}？|{哪个|哪个数}{更大|大}{，|：}$a还是$b？|' +
      '$a{和|与}$b{谁|哪个}{大|更大}？|比较$a{和|与}$b{，哪个大？|的大小。|，谁更大？}|$a和$b比{，|}{哪个|谁}大？|' +
      '{下面两个数|这两个数}哪个{大|更大}：$a{、|，|和}$b{？|}|$a大还是$b大？|{请|}{找出|选出|说出}{较大|更大}的{数|那个}：$a{，|和|、}$b|' +
      '在$a和$b{中|之间}，{较大|更大}的是哪个？|{较大|更大}的数是$a还是$b？}',
    smaller:
      '{$a{和|与|跟}$b{，|}{哪个|哪一个|哪个数}{更小|小|比较小}？|{哪个|哪个数}{更小|小}{，|：}$a还是$b？|$a{和|与}$b{谁|哪个}{小|更小}？|' +
      '$a小还是$b小？|{请|}{找出|选出}{较小|更小}的{数|那个}：$a{，|和|、}$b|在$a和$b{中|之间}，较小的是哪个？}',
    sign: '{{在空格处|请|}{填|填上|填入}<、>或=：$a{ _ |（ ）| ? }$b|$a和$b之间{应该|该|}填什么符号：<、>还是=？}',
    'is-greater':
      '{$a{比$b大|大于$b}{吗|对吗|是吗}？|$a是{不是|否}{比$b大|大于$b}？|{判断对错|对还是错}：$a{大于$b|>$b|比$b大}|$a > $b{吗|对吗|}？}',
    'is-smaller':
      '{$a{比$b小|小于$b}{吗|对吗|是吗}？|$a是{不是|否}{比$b小|小于$b}？|{判断对错|对还是错}：$a{小于|<}$b|$a < $b{吗|对吗|}？}',
  },
};
