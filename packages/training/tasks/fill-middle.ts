// fill-middle: a text with a hole; the middle is what belongs there.
//
// Owns small texts (code, markup, data, lists, sentences) whose hole has one right filling, decided by what stands before
// and after. Knows nothing about FIM tokens: whoever renders the problem writes prefix, suffix and middle in their order.
// Possible holes are marked in the text; one is cut out.
import { correct, wrong } from './evaluate-answer.ts';
import { phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import { type Drawn, drawFor, type FimProblem, type Language, type Task } from './task.ts';
import { people, things } from './vocabulary.ts';

interface Cut extends Drawn {
  readonly language: Language;
  readonly prefix: string;
  readonly middle: string;
  readonly suffix: string;
}

const name = 'fill-middle';

export const fillMiddle: Task = {
  name,
  generate(split, index): FimProblem {
    const { drawn } = drawFor(name, split, index, drawCut);
    const { language, key, prefix, middle, suffix } = drawn;
    return {
      kind: 'fim',
      task: name,
      language,
      key,
      prefix,
      suffix,
      middle,
      judge: (final) =>
        final.content.trim() === middle.trim() ? correct : wrong(JSON.stringify(middle), final.content),
    };
  },
};

function drawCut(random: Random): Cut {
  const { language, text } = random.weighted(kinds)(random);
  const holes = [...text.matchAll(/«([^»]*)»/g)];
  const hole = random.pick(holes);
  const clean = (part: string): string => part.replace(/[«»]/g, '');
  const prefix = clean(text.slice(0, hole.index));
  const suffix = clean(text.slice(hole.index + hole[0].length));
  const middle = hole[1]!;
  return { language, prefix, middle, suffix, key: `${prefix}\u0000${middle}\u0000${suffix}`, isSmall: false };
}

interface Marked {
  readonly language: Language;
  readonly text: string;
}

const kinds: readonly (readonly [(random: Random) => Marked, number])[] = [
  [pythonFunction, 16],
  [pythonLoop, 12],
  [scriptLines, 14],
  [scriptClass, 8],
  [markup, 8],
  [jsonRecord, 8],
  [numberList, 10],
  [knownList, 8],
  [sentence, 12],
  [chineseSentence, 8],
];

const nouns = (
  'total count price width height size name value index limit score speed weight length depth area level rate sum amount ' +
  'color title label result offset line row column page user order item token step layer batch key path text left right'
).split(' ');
const verbs =
  'get set add find make read load save show draw move copy send build check count split join sort print'.split(' ');

function snake(random: Random): string {
  return random.chance(0.6) ? `${random.pick(verbs)}_${random.pick(nouns)}` : random.pick(nouns);
}

function pythonFunction(random: Random): Marked {
  const f = snake(random);
  const [a, b] = random.sample(nouns, 2);
  const o = random.pick(['+', '-', '*', '/']);
  const [x, y] = [random.integer(1, 99), random.integer(1, 99)];
  return {
    language: 'en',
    text: phrase(
      random,
      '{def $f(«$a, $b»):\n    return $a $o $b\n\nprint(«$f»($x, $y))|' +
        'def $f($a, $b):\n    result = «$a $o $b»\n    return «result»  # $a $o $b|' +
        'def $f($a):\n    if «$a» > $x:\n        return «$a» - $x\n    return $x|' +
        'def $f(«$a»=$x):\n    """Uses $a."""\n    $b = $a $o $y\n    return «$b»}',
      { f, a: a!, b: b!, o, x, y },
    ),
  };
}

function pythonLoop(random: Random): Marked {
  const [a, b] = random.sample(nouns, 2);
  const i = random.pick(['i', 'j', 'k', 'n', 'x', 'item', 'row', 'part']);
  return {
    language: 'en',
    text: phrase(
      random,
      '{$a = 0\nfor $i in range($x):\n    «$a» += «$i»\nprint($a)|for «$i» in $a:\n    print($i)\n    $b.append(«$i»)|' +
        '$a = []\nwhile len(«$a») < $x:\n    $a.append($y)|$a = [«$i» * $y for $i in range($x)]\nprint(«$a»)|' +
        'with open($a) as «$b»:\n    for line in $b:\n        print(«line»)|import {math|random|json|sys|time}\n$a = $x\n$b = $a + «$y»\nassert $b - $a == $y}',
      { a: a!, b: b!, i, x: random.integer(2, 99), y: random.integer(2, 99) },
    ),
  };
}

function scriptLines(random: Random): Marked {
  const [a, b, c] = random.sample(nouns, 3);
  const values = { a: a!, b: b!, c: c!, x: random.integer(1, 99), y: random.integer(1, 99) };
  return {
    language: 'en',
    text: phrase(
      random,
      '{const $a = $x;\nconst «$b» = $a * $y;\nconsole.log(«$a», $b);|function $a($b, $c) ~\n  return «$b» + $c;\n^\n\n«$a»($x, $y);|' +
        'if ($a > $x) ~\n  $b = «$a»;\n^ else ~\n  «$b» = $x;\n^|let $a = [];\nfor (const $b of $c) ~\n  «$a».push(«$b»);\n^|' +
        'import ~ «$a» ^ from "./$a.ts";\n\nexport const $b = $a($x);|const $a = new Map();\n$a.set("$b", $x);\nreturn «$a».get("«$b»");}',
      values,
    )
      // Braces choose in a template, so these stand for them.
      .replaceAll('~', '{')
      .replaceAll('^', '}'),
  };
}

function scriptClass(random: Random): Marked {
  const [a, b] = random.sample(nouns, 2);
  const type = b!.charAt(0).toUpperCase() + b!.slice(1);
  return {
    language: 'en',
    text: phrase(
      random,
      'class $type ~\n  constructor(«$a») ~\n    this.«$a» = $a;\n  ^\n^\n\nconst {one|first|it} = new «$type»($x);',
      { a: a!, type, x: random.integer(1, 99) },
    )
      .replaceAll('~', '{')
      .replaceAll('^', '}'),
  };
}

function markup(random: Random): Marked {
  const tag = random.pick(['b', 'i', 'p', 'li', 'div', 'span', 'h1', 'h2', 'td', 'em', 'a', 'code']);
  const [a, b] = random.sample(nouns, 2);
  return {
    language: 'en',
    text: phrase(
      random,
      '{<$tag>$a</«$tag»>|<«$tag»>$a $b</$tag>|<ul>\n  <li>$a</«li»>\n  <li>$b</li>\n</«ul»>|<div>\n  <$tag>$a</«$tag»>\n</«div»>}',
      {
        tag,
        a: a!,
        b: b!,
      },
    ),
  };
}

function jsonRecord(random: Random): Marked {
  const [a, b, c] = random.sample(nouns, 3);
  const [x, y, z] = [random.integer(1, 99), random.integer(1, 99), random.integer(1, 99)];
  return {
    language: 'en',
    text: `[\n  {"${a}": ${x}, "${b}": ${y}},\n  {"«${a}»": ${y}, «"${b}"»: ${z}},\n  {"${a}": ${z}, «"${b}"»: ${x}}\n]${random.chance(0.3) ? ` // ${c}` : ''}`,
  };
}

function numberList(random: Random): Marked {
  const step = random.weighted([
    [1, 50],
    [2, 20],
    [5, 15],
    [10, 15],
  ]);
  const start = random.integer(0, 60) * (step === 1 ? 1 : step);
  const numbers = Array.from({ length: random.integer(5, 8) }, (_, i) => start + i * step);
  const separator = random.pick([', ', ' ', '\n']);
  const at = random.integer(2, numbers.length - 3);
  const marked = numbers.map((number, i) => (i === at ? `«${number}»` : String(number)));
  return { language: 'en', text: marked.join(separator) };
}

const lists: readonly { readonly language: Language; readonly items: readonly string[] }[] = [
  { language: 'en', items: 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split(' ') },
  {
    language: 'en',
    items: 'January February March April May June July August September October November December'.split(' '),
  },
  { language: 'en', items: 'one two three four five six seven eight nine ten eleven twelve'.split(' ') },
  { language: 'en', items: [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'] },
  { language: 'en', items: [...'abcdefghijklmnopqrstuvwxyz'] },
  { language: 'zh', items: '星期一 星期二 星期三 星期四 星期五 星期六 星期日'.split(' ') },
  { language: 'zh', items: '一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月'.split(' ') },
  { language: 'zh', items: '一 二 三 四 五 六 七 八 九 十'.split(' ') },
];

function knownList(random: Random): Marked {
  const { language, items } = random.pick(lists);
  const length = random.integer(4, Math.min(7, items.length));
  const start = random.integer(0, items.length - length);
  const at = random.integer(1, length - 2);
  const separator = random.pick([', ', ' ', '\n', ' -> ']);
  return {
    language,
    text: items
      .slice(start, start + length)
      .map((item, i) => (i === at ? `«${item}»` : item))
      .join(separator),
  };
}

function sentence(random: Random): Marked {
  const [n, o] = random.sample<string>(people.en, 2);
  const { many: t, one } = random.pick(things);
  return {
    language: 'en',
    text: phrase(
      random,
      '{$n has $x $t. $o has $y $t. Together $n and «$o» have many «$t».|$n and $o went to the market. $n bought $t and «$o» bought bread.|' +
        'The $one of $n is old. «$n» wants a new «$one».|Dear $n,\n\nthank you for the $t. The «$t» are very nice.\n\nYours, $o|' +
        'Q: Who has the $one?\nA: $n has the «$one».\nQ: Is it true that «$n» has it?\nA: Yes.|First $n counts the $t. Then $o counts the «$t». Both count $x.}',
      { n: n!, o: o!, t, one, x: random.integer(2, 99), y: random.integer(2, 99) },
    ),
  };
}

function chineseSentence(random: Random): Marked {
  const [n, o] = random.sample<string>(people.zh, 2);
  const { zh: t, measure } = random.pick(things);
  return {
    language: 'zh',
    text: phrase(
      random,
      '{$n有$x$m$t，$o有$y$m$t。$n和«$o»一共有很多«$t»。|$n和$o去市场。$n买了$t，«$o»买了面包。|$n的$t旧了，«$n»想要新的«$t»。|' +
        '先由$n数$t，再由$o数«$t»，两人都数到$x。|问：谁有$t？\n答：$n有«$t»。\n问：真的是«$n»吗？\n答：是的。}',
      { n: n!, o: o!, t, m: measure, x: random.integer(2, 99), y: random.integer(2, 99) },
    ),
  };
}
