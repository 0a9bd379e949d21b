// Stories in which something comes and goes.
//
// Owns situations of gain and loss: things that somebody gets, gives away or doubles, and crowds. Numbers are drawn so that
// nothing falls below zero or leaves what digits.ts can write.
import type { Random } from './random.ts';
import { before, changeCues, join, type Scene, type Step, type Story, type Wordings } from './story.ts';
import { edible } from './vocabulary.ts';

/** Someone has things; one to three times some come or go, or their number doubles. */
export function drawChanges(random: Random): Story {
  const count = random.weighted([
    [1, 30],
    [2, 40],
    [3, 30],
  ]);
  const start = random.chance(0.25) ? random.integer(2, 20) : random.integer(10, 150);
  const events: Change[] = [];
  let state = start;
  for (let i = 0; i < count; i++) {
    const kind =
      state >= 2 && state <= 60 && random.chance(0.1)
        ? random.pick(['double', 'triple'] as const)
        : state >= 3 && random.chance(0.52)
          ? 'lose'
          : 'gain';
    const amount =
      kind === 'double'
        ? 2
        : kind === 'triple'
          ? 3
          : kind === 'lose'
            ? random.integer(1, state - 1)
            : random.integer(2, 80);
    state = kind === 'gain' ? state + amount : kind === 'lose' ? state - amount : state * amount;
    events.push({ kind, amount });
  }
  return {
    situation: `changes ${events.map((event) => event.kind).join(' ')}`,
    numbers: [start, ...events.map((event) => event.amount)],
    tell(scene) {
      const words = scene.random.chance(0.4) ? changedInPast : changed;
      const steps = events.map(
        (event, i): Step => ({
          cue: scene.say(changeCues[event.kind], { x: event.amount }),
          operation: event.kind === 'gain' ? '+' : event.kind === 'lose' ? '-' : '*',
          a: i === 0 ? start : before(i - 1),
          b: event.amount,
        }),
      );
      const sentences = [scene.say(words.start, { a: start }), ...tellEvents(scene, words, events)];
      sentences.push(scene.say(events.at(-1)!.kind === 'lose' ? words.askLeft : words.askNow));
      return { text: join(scene, sentences), steps, answer: (r) => scene.say(hasAnswer, { r }) };
    },
  };
}

interface Change {
  readonly kind: 'gain' | 'lose' | 'double' | 'triple';
  readonly amount: number;
}

type ChangeWords = typeof changed;

/** One sentence for each event, or for two that the same person does in a row. */
function tellEvents(scene: Scene, words: ChangeWords, events: readonly Change[]): string[] {
  const sentences: string[] = [];
  for (let i = 0; i < events.length; i++) {
    const event = events[i]!;
    const next = events[i + 1];
    const kind = event.kind;
    if (kind === 'double' || kind === 'triple') {
      sentences.push(scene.say(words[kind]));
    } else if (next && (next.kind === 'gain' || next.kind === 'lose') && scene.random.chance(0.4)) {
      const first = doing(scene, words, event);
      const second = doing(scene, words, next);
      sentences.push(scene.say(words.both, { first, second }));
      i++;
    } else if (scene.random.chance(0.7)) {
      sentences.push(scene.say(words.one, { first: doing(scene, words, event) }));
    } else {
      sentences.push(scene.say(kind === 'gain' ? words.come : words.go, { x: event.amount }));
    }
  }
  return sentences;
}

/** What somebody does in an event: "buys 13 more". */
function doing(scene: Scene, words: ChangeWords, event: Change): string {
  const canEat = event.kind === 'lose' && edible.has(scene.thing.one) && scene.random.chance(0.4);
  return scene.say(event.kind === 'gain' ? words.gain : canEat ? words.eat : words.lose, { x: event.amount });
}

const changed = {
  start: {
    en: '{$n has $a $t.|$n has $a $t.|$n owns $a $t.|There are $a $t in the {basket|box|room|shop|drawer|bag} of $n.|$n starts with $a $t.}',
    zh: '{$n有$a$m$t。|$n一共有$a$m$t。|$n原来有$a$m$t。|$n手里有$a$m$t。}',
  },
  one: {
    en: '{$n|$He|Then $n|Then $he|Later $n|Later $he|After that $he|Next $he|Now $he} $first.',
    zh: '{$first。|后来$first。|然后$first。|接着$first。}',
  },
  both: {
    en: '{$n|$He|Then $n|Then $he|Later $he} $first{ and then| and|, then} $second.',
    zh: '{$first，{然后|后来|又|}$second。|{后来|}$first，再$second。}',
  },
  gain: {
    en: '{buys $x more|buys $x more $t|gets $x more|finds $x{ more|}|receives $x from $o|collects $x more|picks up $x more|is given $x|wins $x|gets $x from $o|adds $x{ more|}}',
    zh: '{又买了$x$m|得到$x$m|又找到$x$m|收到$x$m|捡到$x$m|又买来$x$m|添了$x$m|$o又给了$x$m|$o送来$x$m}',
  },
  lose: {
    en: '{gives away $x|gives $x to $o|gives $o $x{ of them|}|loses $x|sells $x{ of them|}|uses {up |}$x|throws away $x|lends $o $x|gives $x to a friend|drops $x}',
    zh: '{送给$o$x$m|分给$o$x$m|借给$o$x$m|卖给$o$x$m|用掉$x$m|弄丢了$x$m|卖掉$x$m|送走$x$m|$o拿走$x$m}',
  },
  eat: { en: '{eats $x{ of them|}|eats up $x}', zh: '{吃了$x$m|吃掉$x$m}' },
  come: {
    en: '{{Then |Later |}$o gives $n $x {more|more $t}.|Then $x more {are added|arrive|come in}.|$x more {arrive|are added}.}',
    zh: '{后来又来了$x$m。|又添了$x$m。|再加上$x$m。}',
  },
  go: {
    en: '{{Then |After that |}$x {of them |}are {lost|sold|used|given away|taken away}.|$o takes $x{ of them|}.|$o buys $x of them.}',
    zh: '{后来少了$x$m。|其中$x$m{坏了|没了|丢了}。|$o拿走了$x$m。}',
  },
  double: {
    en: '{Then the number doubles.|$n doubles the number of $t.|Then there are twice as many.}',
    zh: '{后来数量{翻了一倍|变成了原来的2倍|翻倍了}。|然后{翻了一番|变成2倍}。}',
  },
  triple: {
    en: '{Then the number triples.|$n triples the number of $t.|Then there are three times as many.}',
    zh: '{后来数量变成了原来的3倍。|然后变成3倍。|数量变为三倍。}',
  },
  askNow: {
    en: '{How many $t does {$n|$n|$he} have {now|in the end|in total|}?|How many $t are there {now|in the end|}?|What is the number of $t {now|in the end}?}',
    zh: '{{$n|}{现在|最后}{一共|}有{多少|几}$m$t？|现在有多少$m？|最后有多少$m$t？}',
  },
  askLeft: {
    en: '{How many $t does {$n|$n|$he} have {left|now|in the end}?|How many $t are {left|there now}?|How many {remain|are left|does $he have left}?}',
    zh: '{还剩{多少|几}$m{$t|}？|{$n|}现在{还|}有{多少|几}$m$t？|最后剩下多少$m？}',
  },
};

const changedInPast: ChangeWords = {
  ...changed,
  start: {
    ...changed.start,
    en: '{$n had $a $t.|$n started with $a $t.|Yesterday $n had $a $t.|In the morning $n had $a $t.|At first $n had $a $t.}',
  },
  gain: {
    ...changed.gain,
    en: '{bought $x more|got $x more|found $x{ more|}|received $x from $o|collected $x more|picked up $x more|was given $x|won $x|got $x from $o|added $x{ more|}}',
  },
  lose: {
    ...changed.lose,
    en: '{gave away $x|gave $x to $o|gave $o $x{ of them|}|lost $x|sold $x{ of them|}|used {up |}$x|threw away $x|lent $o $x|gave $x to a friend|dropped $x}',
  },
  eat: { ...changed.eat, en: '{ate $x{ of them|}|ate up $x}' },
  come: {
    ...changed.come,
    en: '{{Then |Later |}$o gave $n $x {more|more $t}.|Then $x more {were added|arrived|came in}.}',
  },
  go: {
    ...changed.go,
    en: '{{Then |After that |}$x {of them |}were {lost|sold|used|given away}.|$o took $x{ of them|}.}',
  },
  double: { ...changed.double, en: '{Then the number doubled.|$n doubled the number of $t.}' },
  triple: { ...changed.triple, en: '{Then the number tripled.|$n tripled the number of $t.}' },
};

const hasAnswer: Wordings = { en: '{$n has $r $t.|There are $r $t.}', zh: '{$n有$r$m$t。|一共有$r$m$t。}' };

/** Passengers, visitors, birds: some come, some go. */
export function drawBus(random: Random): Story {
  const count = random.integer(1, 2);
  const a = random.integer(8, 90);
  const off = random.integer(1, a - 1);
  const on = random.integer(2, 60);
  const leavesFirst = random.chance(0.6);
  const isLeaving = count === 1 && leavesFirst;
  const events = count === 2 ? (leavesFirst ? ['off', 'on'] : ['on', 'off']) : [isLeaving ? 'off' : 'on'];
  return {
    situation: `crowd ${events.join(' ')}`,
    numbers: [a, ...events.map((event) => (event === 'off' ? off : on))],
    tell(scene) {
      const crowd = scene.say({ en: '{bus|zoo|library|pond}', zh: '{车|园|馆|塘}' });
      const words = crowds[crowd]!;
      const sentences = [scene.say(words.start, { a })];
      const steps: Step[] = [];
      for (const [i, event] of events.entries()) {
        const x = event === 'off' ? off : on;
        sentences.push(scene.say(event === 'off' ? words.leave : words.come, { x }));
        steps.push({
          cue: scene.say(event === 'off' ? changeCues.lose : changeCues.gain, { x }),
          operation: event === 'off' ? '-' : '+',
          a: i === 0 ? a : before(i - 1),
          b: x,
        });
      }
      sentences.push(scene.say(words.ask));
      return { text: join(scene, sentences), steps, answer: (r) => scene.say(words.answer, { r }) };
    },
  };
}

const crowds: Readonly<Record<string, Readonly<Record<'start' | 'leave' | 'come' | 'ask' | 'answer', Wordings>>>> = {
  bus: both({
    start:
      '{There are $a {people|passengers} on a {bus|train|tram}.|A {bus|train|tram} carries $a {people|passengers}.}',
    leave: '{At the {next |}stop |Then |}$x {people |passengers |}get off.',
    come: '{At the {next |}stop |Then |}$x {people |passengers |}get on.',
    ask: 'How many {people|passengers} are {on it|on board} now?',
    answer: 'There are $r people on board.',
  }),
  zoo: both({
    start:
      '{A {zoo|museum|park|cinema} has $a visitors.|There are $a {people|visitors} in a {zoo|museum|park|cinema}.}',
    leave: '{Then |Later |}$x {people |visitors |}{leave|go home}.',
    come: '{Then |Later |}$x more {people |visitors |}{come|arrive|enter}.',
    ask: 'How many {people|visitors} are there {now|}?',
    answer: 'There are $r people now.',
  }),
  library: both({
    start: '{A library has $a books about {art|animals|history|space}.|There are $a books on a shelf.}',
    leave: '{Then |On Monday |}$x {books |}are {borrowed|taken}.',
    come: '{Then |On Tuesday |}$x {books |}are {returned|added|brought back}.',
    ask: 'How many books are there {now|}?',
    answer: 'There are $r books now.',
  }),
  pond: both({
    start: '{There are $a {birds|ducks|frogs} {at|in} a pond.|$a {birds|ducks} sit at a pond.}',
    leave: '{Then |}$x {of them |}{leave|go away}.',
    come: '{Then |}$x more {come|arrive|join them}.',
    ask: 'How many are there {now|}?',
    answer: 'There are $r now.',
  }),
  车: chinese({
    start: '{公交车|车|火车}上有$a{人|名乘客|个人}。',
    leave: '{到站后|这一站|}下去$x{人|名}。',
    come: '{到站后|这一站|}{又|}上来$x{人|名}。',
    ask: '现在车上有{多少|几}人？',
    answer: '现在车上有$r人。',
  }),
  园: chinese({
    start: '{公园|动物园|游乐园}里有$a{名游客|个人|位游客}。',
    leave: '{后来|}{走了|离开了}$x{人|名}。',
    come: '{后来|又|}来了$x{人|名}。',
    ask: '现在有{多少|几}人？',
    answer: '现在有$r人。',
  }),
  馆: chinese({
    start: '{图书馆|书架上|阅览室}有$a本书。',
    leave: '借{走|出}了$x本。',
    come: '{又|}{还回来|买来|新添}$x本。',
    ask: '现在有多少本？',
    answer: '现在有$r本书。',
  }),
  塘: chinese({
    start: '池塘里有$a只{鸭子|青蛙}。',
    leave: '{后来|}游走了$x只。',
    come: '{后来|}又游来$x只。',
    ask: '现在有{多少|几}只？',
    answer: '现在有$r只。',
  }),
};

function both<T extends string>(en: Readonly<Record<T, string>>): Readonly<Record<T, Wordings>> {
  return inLanguage(en);
}

function chinese<T extends string>(zh: Readonly<Record<T, string>>): Readonly<Record<T, Wordings>> {
  return inLanguage(zh);
}

/** A crowd is told in one language only, so both entries hold its words. */
function inLanguage<T extends string>(texts: Readonly<Record<T, string>>): Readonly<Record<T, Wordings>> {
  const entries = Object.entries<string>(texts).map(([key, text]) => [key, { en: text, zh: text }]);
  return Object.fromEntries(entries) as Readonly<Record<T, Wordings>>;
}
