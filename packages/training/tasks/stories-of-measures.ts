// Stories of money, distance and time.
//
// Owns situations with a unit: prices and change, journeys, pages read, ages, rectangles, savings. Numbers are drawn so
// that no step falls below zero or leaves what digits.ts can write.
import type { Random } from './random.ts';
import { before, changeCues, join, type Step, type Story, togetherCue, type Wordings } from './story.ts';

/** Prices: several of one thing, another thing, change from a note. */
export function drawShopping(random: Random): Story {
  const shape = random.weighted([
    ['cost', 25],
    ['cost plus', 25],
    ['change', 25],
    ['cost plus change', 25],
  ] as const);
  const k = random.integer(2, 9);
  const p = random.chance(0.5) ? random.integer(2, 10) : random.integer(11, 35);
  const q = random.integer(2, 60);
  const cost = k * p + (shape.includes('plus') ? q : 0);
  const paid = Math.ceil((cost + 1) / 50) * 50;
  const numbers = [k, p, ...(shape.includes('plus') ? [q] : []), ...(shape.endsWith('change') ? [paid] : [])];
  return {
    situation: `shopping ${shape}`,
    numbers,
    tell(scene) {
      const second = scene.say({
        en: '{a bag|a book|a cake|a lamp|a shirt|a hat|a toy|a game}',
        zh: '{一个书包|一本书|一个蛋糕|一盏灯|一件衬衫|一顶帽子|一个玩具}',
      });
      const money = scene.say({ en: '{dollars|dollars|euros|pounds}', zh: '元' });
      const values = { k, p, q, paid, second, money };
      const sentences = [
        scene
          .say(
            {
              en:
                '{$n buys $k $t{.| for $p $money each.} {Each {one |}costs $p $money.|One $one costs $p $money.|The price is $p $money each.}|' +
                'A $one costs $p $money. $n buys $k {of them|$t}.|$n buys $k $t at $p $money each.|One $one is $p $money, and $n {takes|wants|buys} $k.}',
              zh: '{$n买了$k$m$t，每$m$p元。|{一|每}$m$t$p元，$n买了$k$m。|$t每$m卖$p元，$n{要买|买了}$k$m。}',
            },
            values,
          )
          .replace(/ for (\d+) (\w+) each\. .*/, ' for $1 $2 each.'),
      ];
      const steps: Step[] = [{ cue: scene.say({ en: '$k $t', zh: '$k$m$t' }, values), operation: '*', a: k, b: p }];
      if (shape.includes('plus')) {
        sentences.push(
          scene.say(
            {
              en: '{$n also buys $second for $q $money.|There is also $second for $q $money.|$n adds $second at $q $money.}',
              zh: '{$n还买了$second，{花了|}$q元。|另外又买了$second，$q元。}',
            },
            values,
          ),
        );
        steps.push({
          cue: scene.say({ en: 'Plus $second', zh: '加上$second' }, values),
          operation: '+',
          a: before(0),
          b: q,
        });
      }
      if (shape.endsWith('change')) {
        sentences.push(
          scene
            .say(
              {
                en: '{$n pays with $paid $money.|$n gives the {seller|cashier} $paid $money.|$n has $paid $money.} {How {much|many $money} {change does $n get|is left|does $n have left}{ back|}?|What is the change?}',
                zh: '{$n付了$paid元，|$n给了{店员|收银员}$paid元，|$n带了$paid元，}{应找回|找回|还剩}多少元？',
              },
              values,
            )
            .replace('left back', 'left'),
        );
        steps.push({
          cue: scene.say({ en: 'Change', zh: '找回' }),
          operation: '-',
          a: paid,
          b: before(steps.length - 1),
        });
      } else {
        sentences.push(
          scene.say(
            {
              en: '{How much {does $n pay|does it cost|is it}{ in total| altogether|}?|What is the total{ price|}?|How many $money does $n {pay|spend}?}',
              zh: '{{一共|总共}{要花|花了|要付|需要}多少元？|{一共|总共}多少钱？}',
            },
            values,
          ),
        );
      }
      const answer = shape.endsWith('change')
        ? { en: 'The change is $r $money.', zh: '找回$r元。' }
        : { en: 'The total is $r $money.', zh: '一共$r元。' };
      return { text: join(scene, sentences), steps, answer: (r) => scene.say(answer, { ...values, r }) };
    },
  };
}

/** A journey at a steady speed. */
export function drawTravel(random: Random): Story {
  const shape = random.weighted([
    ['distance', 35],
    ['rest', 35],
    ['two legs', 30],
  ] as const);
  const v = random.pick([4, 5, 6, 12, 15, 18, 20, 25, 30, 40, 45, 50, 60, 65, 70, 75, 80, 90, 100, 110, 120]);
  const h = random.integer(2, 8);
  const w = random.integer(4, 90);
  const j = random.integer(2, 6);
  const whole = v * h + random.integer(5, 120);
  const numbers = shape === 'distance' ? [v, h] : shape === 'rest' ? [v, h, whole] : [v, h, w, j];
  return {
    situation: `travel ${shape}`,
    numbers,
    tell(scene) {
      const values = { v, h, w, j, whole };
      const mover = scene.say({
        en: '{A train|A bus|A car|A truck|A ship|$n|$n}',
        zh: '{一列火车|一辆汽车|一辆卡车|一艘船|$n|$n}',
      });
      const going = { ...values, mover };
      const steps: Step[] = [{ cue: scene.say({ en: '$h hours', zh: '$h小时' }, values), operation: '*', a: v, b: h }];
      if (shape === 'two legs') {
        steps.push(
          { cue: scene.say({ en: '$j hours', zh: '$j小时' }, values), operation: '*', a: w, b: j },
          { cue: scene.say(togetherCue), operation: '+', a: before(0), b: before(1) },
        );
      } else if (shape === 'rest') {
        steps.push({
          cue: scene.say({ en: 'Left of $whole', zh: '$whole中剩下' }, values),
          operation: '-',
          a: whole,
          b: before(0),
        });
      }
      const wordings: Record<typeof shape, Wordings> = {
        distance: {
          en: '{$mover {travels|goes|moves} $v {km|kilometers} {per hour|an hour|every hour} for $h hours. {How far does it get|How far is that|What is the distance}?|How far does $mover get in $h hours at $v km per hour?}',
          zh: '{$mover每小时{行|走}$v千米，{行了|走了}$h小时，{一共|}{行了|走了}多少千米？|$mover的速度是每小时$v千米，$h小时能走多少千米？}',
        },
        rest: {
          en: '{The {way|road|trip} is $whole km long. $mover {travels|goes|moves} $v km {per hour|an hour} for $h hours. How {many km are|much is} left?|$mover has to go $whole km, at $v km per hour. How many km are left after $h hours?}',
          zh: '{{全程|路程}$whole千米，$mover每小时{行|走}$v千米，{行了|走了}$h小时，还剩多少千米？|$mover要走$whole千米，每小时$v千米，$h小时后还剩多少千米？}',
        },
        'two legs': {
          en: '$mover {travels|goes|moves} $h hours at $v km per hour and then $j hours at $w km per hour. How far is that {in total|altogether}?',
          zh: '$mover先以每小时$v千米{行了|走了}$h小时，再以每小时$w千米{行了|走了}$j小时，一共多少千米？',
        },
      };
      const answer =
        shape === 'rest' ? { en: '$r km are left.', zh: '还剩$r千米。' } : { en: 'It is $r km.', zh: '一共$r千米。' };
      const text = scene.say(wordings[shape], going);
      return { text: capitalized(text), steps, answer: (r) => scene.say(answer, { r }) };
    },
  };
}

/** A book read page by page. */
export function drawReading(random: Random): Story {
  const shape = random.weighted([
    ['read', 25],
    ['left', 45],
    ['per day', 30],
  ] as const);
  const d = random.integer(2, 9);
  const r = shape === 'per day' ? random.integer(2, 10) : random.integer(5, 30);
  const done = random.integer(5, 60);
  const whole = shape === 'per day' ? d * r + done : d * r + random.integer(5, 120);
  const numbers = shape === 'read' ? [r, d] : shape === 'left' ? [whole, r, d] : [whole, done, d];
  return {
    situation: `reading ${shape}`,
    numbers,
    tell(scene) {
      const values = { d, r, done, whole };
      const wordings: Record<typeof shape, Wordings> = {
        read: {
          en: '$n {reads|writes|learns} $r {pages|words} {a day|every day|per day} for $d days. How many is that {in total|}?',
          zh: '$n每天{读|看|写}$r页，{读了|连续}$d天，{一共|总共}多少页？',
        },
        left: {
          en: '{$n has a book {of|with} $whole pages and reads $r pages {a day|every day}. How many pages are left after $d days?|A book has $whole pages. $n reads $r pages {a day|per day} for $d days. How many {pages |}are left?}',
          zh: '{一本书有$whole页，$n每天{读|看}$r页，{读了|看了}$d天，还剩多少页？|$n看一本$whole页的书，每天看$r页，$d天后还剩多少页？}',
        },
        'per day': {
          en: '{A book has $whole pages.|$n reads a book of $whole pages.} $n has {already |}read $done{ pages| of them|}. The rest is {to be |}read in $d days, the same number {a|every} day. How many pages {is that |}a day?',
          zh: '一本书有$whole页，$n已经{读了|看了}$done页，剩下的要$d天{读完|看完}，每天{读|看}一样多，每天要{读|看}多少页？',
        },
      };
      const steps: Step[] =
        shape === 'per day'
          ? [
              { cue: scene.say({ en: 'Left', zh: '剩下' }), operation: '-', a: whole, b: done },
              { cue: scene.say({ en: 'A day', zh: '每天' }), operation: '/', a: before(0), b: d },
            ]
          : [{ cue: scene.say({ en: '$d days', zh: '$d天' }, values), operation: '*', a: r, b: d }];
      if (shape === 'left')
        steps.push({ cue: scene.say({ en: 'Left', zh: '剩下' }), operation: '-', a: whole, b: before(0) });
      const answer =
        shape === 'left'
          ? { en: '$r pages are left.', zh: '还剩$r页。' }
          : shape === 'read'
            ? { en: 'It is $r in total.', zh: '一共$r页。' }
            : { en: 'It is $r pages a day.', zh: '每天$r页。' };
      return { text: scene.say(wordings[shape], values), steps, answer: (result) => scene.say(answer, { r: result }) };
    },
  };
}

/** How old people are, were and will be. */
export function drawAges(random: Random): Story {
  const shape = random.weighted([
    ['older', 20],
    ['younger', 20],
    ['older later', 30],
    ['younger later', 15],
    ['ago', 15],
  ] as const);
  const a = random.integer(12, 60);
  const d = random.integer(2, shape.startsWith('younger') || shape === 'ago' ? a - 3 : 35);
  const years = random.integer(2, 30);
  const numbers = shape.endsWith('later') ? [a, d, years] : [a, d];
  return {
    situation: `ages ${shape}`,
    numbers,
    tell(scene) {
      const values = { a, d, years };
      if (shape === 'ago') {
        return {
          text: scene.say(
            { en: '$n is $a {years old|} now. How old was $n $d years ago?', zh: '$n今年$a岁，$d年前{$n|}几岁？' },
            values,
          ),
          steps: [{ cue: scene.say({ en: '$d years ago', zh: '$d年前' }, values), operation: '-', a, b: d }],
          answer: (r) => scene.say({ en: '$n was $r years old.', zh: '$n那时$r岁。' }, { r }),
        };
      }
      const isOlder = shape.startsWith('older');
      const steps: Step[] = [{ cue: scene.other, operation: isOlder ? '+' : '-', a, b: d }];
      if (shape.endsWith('later')) {
        steps.push({
          cue: scene.say({ en: 'In $years years', zh: '$years年后' }, values),
          operation: '+',
          a: before(0),
          b: years,
        });
      }
      const text = scene.say(
        {
          en: `$n is $a years old. $o is $d years ${isOlder ? 'older' : 'younger'}{ than $n|}. ${shape.endsWith('later') ? 'How old will $o be in $years years?' : 'How old is $o?'}`,
          zh: `$n今年$a岁，$o比$n${isOlder ? '大' : '小'}$d岁，${shape.endsWith('later') ? '$years年后$o{多少|几}岁？' : '$o{今年|}{多少|几}岁？'}`,
        },
        values,
      );
      const answer = shape.endsWith('later')
        ? { en: '$o will be $r years old.', zh: '$o那时$r岁。' }
        : { en: '$o is $r years old.', zh: '$o今年$r岁。' };
      return { text, steps, answer: (r) => scene.say(answer, { r }) };
    },
  };
}

/** Area and perimeter. */
export function drawRectangle(random: Random): Story {
  const shape = random.pick(['area', 'perimeter'] as const);
  const l = random.integer(3, 60);
  const w = random.integer(2, shape === 'area' ? 9 : 50);
  return {
    situation: `rectangle ${shape}`,
    numbers: [l, w],
    tell(scene) {
      const values = { l, w };
      const place = scene.say({
        en: '{garden|field|room|table|yard|carpet|park|wall}',
        zh: '{花园|操场|房间|桌面|院子|地毯|菜地|墙面}',
      });
      const opening = scene.say(
        {
          en: '{A|The} $place is $l {meters|m} long and $w {meters|m} wide.',
          zh: '{一个|有一个}长方形$place，长$l米，宽$w米，',
        },
        { ...values, place },
      );
      if (shape === 'area') {
        return {
          text:
            opening +
            scene.say({
              en: ' {What is {its|the} area?|How many square meters is it?|How large is its area?}',
              zh: '面积是多少平方米？',
            }),
          steps: [{ cue: scene.say({ en: 'Area', zh: '面积' }), operation: '*', a: l, b: w }],
          answer: (r) => scene.say({ en: 'The area is $r square meters.', zh: '面积是$r平方米。' }, { r }),
        };
      }
      return {
        text:
          opening +
          scene.say({
            en: ' {What is {its|the} perimeter?|How long is the way around it?|How long must a fence around it be?}',
            zh: '{周长是多少米？|绕一圈是多少米？}',
          }),
        steps: [
          { cue: scene.say({ en: 'Half', zh: '一半' }), operation: '+', a: l, b: w },
          { cue: scene.say({ en: 'Twice', zh: '两倍' }), operation: '*', a: before(0), b: 2 },
        ],
        answer: (r) => scene.say({ en: 'The perimeter is $r meters.', zh: '周长是$r米。' }, { r }),
      };
    },
  };
}

/** Money put aside week by week. */
export function drawSaving(random: Random): Story {
  const shape = random.pick(['saved', 'had and saved', 'missing', 'spent'] as const);
  const p = random.integer(3, 40);
  const w = random.integer(2, 9);
  const had = random.integer(5, 120);
  const goal = p * w + random.integer(5, 150);
  const spent = random.integer(2, p * w - 1);
  const numbers =
    shape === 'saved'
      ? [p, w]
      : shape === 'had and saved'
        ? [had, p, w]
        : shape === 'missing'
          ? [goal, p, w]
          : [p, w, spent];
  return {
    situation: `saving ${shape}`,
    numbers,
    tell(scene) {
      const values = { p, w, had, goal, spent };
      const unit = scene.say({ en: '{week|month|day}', zh: '{周|月|天}' });
      const money = scene.say({ en: '{dollars|euros|coins}', zh: '元' });
      const all = { ...values, unit, money };
      const span = scene.language === 'zh' ? (unit === '月' ? '个月' : unit) : `${unit}s`;
      const steps: Step[] = [{ cue: `${w}${scene.language === 'zh' ? '' : ' '}${span}`, operation: '*', a: p, b: w }];
      const wordings: Record<typeof shape, Wordings> = {
        saved: {
          en: '$n saves $p $money {a|every|each} $unit. How {much|many $money} does $n {have after|save in} $w $span?',
          zh: '$n每$unit{存|攒}$p元，$w$span{一共|}能{存|攒}多少元？',
        },
        'had and saved': {
          en: '$n has $had $money and saves $p {more |$money |}{a|every|each} $unit. How many $money does $n have after $w $span?',
          zh: '$n有$had元，每$unit再{存|攒}$p元，$w$span后{一共|}有多少元？',
        },
        missing: {
          en: '{$n wants {a bicycle|a phone|a guitar|a watch} for $goal $money|$n needs $goal $money} and saves $p {$money |}{a|every|each} $unit. How many $money are {still |}missing after $w $span?',
          zh: '$n想买一{辆$goal元的自行车|部$goal元的手机|把$goal元的吉他}，每$unit{存|攒}$p元，$w$span后还差多少元？',
        },
        spent: {
          en: '$n {earns|saves|gets} $p $money {a|every|each} $unit for $w $span{,| and} then spends $spent{ $money|}. How many $money are left?',
          zh: '$n每$unit{挣|存}$p元，{存了|过了}$w$span，后来花了$spent元，还剩多少元？',
        },
      };
      if (shape === 'had and saved')
        steps.push({
          cue: scene.say({ en: 'Plus $had', zh: '加上$had' }, values),
          operation: '+',
          a: had,
          b: before(0),
        });
      if (shape === 'missing')
        steps.push({ cue: scene.say({ en: 'Missing', zh: '还差' }), operation: '-', a: goal, b: before(0) });
      if (shape === 'spent')
        steps.push({ cue: scene.say(changeCues.lose, { x: spent }), operation: '-', a: before(0), b: spent });
      const answer =
        shape === 'missing'
          ? { en: '$r $money are missing.', zh: '还差$r元。' }
          : { en: '$n has $r $money.', zh: '$n有$r元。' };
      return {
        text: scene.say(wordings[shape], { ...all, span }),
        steps,
        answer: (r) => scene.say(answer, { ...all, r }),
      };
    },
  };
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
