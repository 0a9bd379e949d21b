// Stories of groups and parts.
//
// Owns situations where amounts stand beside each other: boxes with the same number in each, people compared, equal shares,
// rows of seats, parts of a whole, what a number of cakes needs. Numbers are drawn so that no step falls below zero or leaves what digits.ts can write.
import type { Random } from './random.ts';
import { before, changeCues, join, type Step, type Story, togetherCue, type Wordings } from './story.ts';

/** Containers with the same number in each; loose ones on top, some taken out, or a second kind of container. */
export function drawGroups(random: Random): Story {
  const shape = random.weighted([
    ['each', 30],
    ['plus', 25],
    ['minus', 25],
    ['two', 20],
  ] as const);
  const k = random.integer(2, 9);
  const b = random.chance(0.4) ? random.integer(2, 10) : random.integer(11, 40);
  const j = random.integer(2, 9);
  const c = random.integer(2, 12);
  const e = shape === 'minus' ? random.integer(1, k * b - 1) : random.integer(2, 60);
  const numbers = shape === 'each' ? [k, b] : shape === 'two' ? [k, b, j, c] : [k, b, e];
  return {
    situation: `groups ${shape}`,
    numbers,
    tell(scene) {
      const [big, small] = scene.language === 'zh' ? ['大盒', '小盒'] : ['large boxes', 'small boxes'];
      const box = scene.say({
        en: '{boxes|bags|baskets|packs|jars|shelves|crates|drawers|trays}',
        zh: '{盒|袋|篮|箱|包|罐}',
      });
      const sentences: string[] = [];
      const steps: Step[] = [];
      if (shape === 'two') {
        sentences.push(
          scene.say(
            {
              en: '{$n has|There are|A shop has} $k $big with $b $t each and $j $small with $c $t each.',
              zh: '{$n有|商店里有|有}$k$big$t，每盒$b$m，还有$j$small，每盒$c$m。',
            },
            { k, b, j, c, big, small },
          ),
        );
        steps.push(
          { cue: `${k} ${scene.language === 'zh' ? '盒' : big}`, operation: '*', a: k, b },
          { cue: `${j} ${scene.language === 'zh' ? '盒' : small}`, operation: '*', a: j, b: c },
          { cue: scene.say(togetherCue), operation: '+', a: before(0), b: before(1) },
        );
      } else {
        sentences.push(
          scene
            .say(
              {
                en:
                  '{$n has $k $box with $b $t {each|in each}.|There are $k $box{.|, and} {Each {one |}{holds|has|contains} $b $t|Every one of them holds $b $t}.|' +
                  '$n {fills|packs|buys} $k $box of $b $t each.|$n puts $b $t into each of $k $box.}',
                zh: '{$n有$k$box$t，每$box$b$m。|{这里|商店里|}有$k$box$t，每$box{有|装|装着}$b$m。|$n买了$k$box$t，每$box$b$m。|每$box装$b$m$t，$n装了$k$box。}',
              },
              { k, b, box },
            )
            .replace('.Each', '. Each')
            .replace(', and Each', ', and each')
            .replace(', and Every', ', and every')
            .replace('.Every', '. Every'),
        );
        steps.push({ cue: scene.say({ en: '$k $box', zh: '$k$box' }, { k, box }), operation: '*', a: k, b });
        if (shape === 'plus') {
          sentences.push(
            scene.say(
              {
                en: '{There are $e more {$t |}{on the table|outside|beside them}.|$n also has $e {loose|single|other|more} $t.|Then $n gets $e more $t.}',
                zh: '{另外还有$e$m{散的|}。|$n还有$e$m{散装的|}。|后来又{买了|来了}$e$m。}',
              },
              { e },
            ),
          );
          steps.push({ cue: scene.say(changeCues.gain, { x: e }), operation: '+', a: before(0), b: e });
        } else if (shape === 'minus') {
          sentences.push(
            scene.say(
              {
                en: '{$n {uses|sells|gives away|takes out} $e {of them|$t}.|$e of {the $t|them} are {broken|lost|sold|given away|used}.|$o {buys|takes} $e of them.}',
                zh: '{{用掉|卖掉|送走|拿出}了$e$m。|其中$e$m{坏了|丢了|卖了}。|$o{买走|拿走}了$e$m。}',
              },
              { e },
            ),
          );
          steps.push({ cue: scene.say(changeCues.lose, { x: e }), operation: '-', a: before(0), b: e });
        }
      }
      sentences.push(scene.say(shape === 'minus' ? leftQuestion : totalQuestion));
      return { text: join(scene, sentences), steps, answer: (r) => scene.say(countAnswer, { r }) };
    },
  };
}

const countAnswer: Wordings = { en: '{There are $r $t.|The answer is $r $t.}', zh: '{有$r$m$t。|答案是$r$m$t。}' };

const totalQuestion: Wordings = {
  en: '{How many $t are there {in total|altogether|in all|}?|How many $t {is that|is that in total}?|What is the total number of $t?}',
  zh: '{{一共|总共}有{多少|几}$m$t？|{一共|总共}多少$m？|$t的总数是多少？}',
};

const leftQuestion: Wordings = {
  en: '{How many $t are {left|there now}?|How many {$t |}{remain|are left over|are left}?}',
  zh: '{还剩{多少|几}$m{$t|}？|还有多少$m{$t|}？}',
};

/** Two or three people compared. */
export function drawCompared(random: Random): Story {
  const shape = random.weighted([
    ['more', 18],
    ['fewer', 14],
    ['times', 12],
    ['more together', 16],
    ['fewer together', 12],
    ['times together', 10],
    ['difference', 18],
  ] as const);
  const isTimes = shape.startsWith('times');
  const a = isTimes ? random.integer(2, 40) : random.integer(8, 150);
  const d = isTimes
    ? random.integer(2, 6)
    : shape.startsWith('fewer') || shape === 'difference'
      ? random.integer(2, a - 1)
      : random.integer(2, 90);
  return {
    situation: `compared ${shape}`,
    numbers: [a, d],
    tell(scene) {
      const values = { a, d };
      const subject = { en: '$n has $a $t. ', zh: '$n有$a$m$t，' };
      if (shape === 'difference') {
        const text = scene.say(
          {
            en: '{$n has $a $t and $o has $d{| $t}.|$n has $a $t. $o has $d{| $t}.} {How many more {$t |}does $n have{ than $o|}?|What is the difference?|By how many does $n have more?}',
            zh: '{$n有$a$m$t，$o有$d$m{$t|}。}{$n比$o多{几|多少}$m？|两人相差多少$m？|$o比$n少{几|多少}$m？}',
          },
          values,
        );
        const cue = scene.say({ en: 'Difference', zh: '相差' });
        return {
          text,
          steps: [{ cue, operation: '-', a, b: d }],
          answer: (r) => scene.say({ en: 'The difference is $r $t.', zh: '相差$r$m$t。' }, { r }),
        };
      }
      const relation = isTimes
        ? { en: '$o has $d times as many{ $t|}.', zh: '$o的{数量|$t}是$n的$d倍。' }
        : shape.startsWith('more')
          ? { en: '{$o has $d more{ $t|}{ than $n|}.|$o has $d more than that.}', zh: '$o{比$n|}多$d$m。' }
          : { en: '{$o has $d {fewer|less}{ $t|}{ than $n|}.|$o has $d fewer than that.}', zh: '$o{比$n|}少$d$m。' };
      const isTogether = shape.endsWith('together');
      const question = isTogether
        ? {
            en: '{How many $t do {they|$n and $o|both} have {together|in total|altogether}?|How many are there in total?}',
            zh: '{{两人|他们|}一共有{多少|几}$m{$t|}？|{两人|他们}总共有多少$m？}',
          }
        : { en: "{How many {$t |}does $o have?|How many $t are $o's?}", zh: '$o有{多少|几}$m{$t|}？' };
      const steps: Step[] = [
        {
          cue: scene.other,
          operation: isTimes ? '*' : shape.startsWith('more') ? '+' : '-',
          a,
          b: d,
        },
      ];
      if (isTogether) steps.push({ cue: scene.say(togetherCue), operation: '+', a, b: before(0) });
      const text = scene.say(
        { en: `${subject.en}${relation.en} ${question.en}`, zh: subject.zh + relation.zh + question.zh },
        values,
      );
      const answer = isTogether
        ? { en: 'Together they have $r $t.', zh: '他们一共有$r$m$t。' }
        : { en: '$o has $r $t.', zh: '$o有$r$m$t。' };
      return { text, steps, answer: (r) => scene.say(answer, { r }) };
    },
  };
}

/** Things shared equally. */
export function drawSharing(random: Random): Story {
  const shape = random.weighted([
    ['share', 40],
    ['share then more', 20],
    ['first more', 20],
    ['first fewer', 20],
  ] as const);
  const k = random.integer(2, 10);
  const r = random.integer(2, 10);
  const e = random.integer(2, 40);
  const first = shape === 'first more' ? Math.min(e, k * r - 1) : e;
  const a = shape === 'first more' ? k * r - first : shape === 'first fewer' ? k * r + first : k * r;
  const numbers = shape === 'share' ? [a, k] : [a, k, first];
  return {
    situation: `sharing ${shape}`,
    numbers,
    tell(scene) {
      const values = { a, k, e: first };
      const steps: Step[] = [];
      const share = scene.say({ en: 'Each of $k', zh: '平均分给$k' }, values);
      let opening = scene.say({ en: '{$n has $a $t.|There are $a $t.}', zh: '{$n有|有}$a$m$t。' }, values);
      if (shape === 'first more') {
        opening += scene.say({ en: ' {$o brings $e more.|Then $e more come.}', zh: '{$o又拿来|又买了}$e$m。' }, values);
        steps.push({ cue: scene.say(changeCues.gain, { x: first }), operation: '+', a, b: first });
      } else if (shape === 'first fewer') {
        opening += scene.say(
          { en: ' {$e of them are {bad|broken|lost}.|$n keeps $e.}', zh: '{其中$e$m坏了。|$n自己留下$e$m。}' },
          values,
        );
        steps.push({ cue: scene.say(changeCues.lose, { x: first }), operation: '-', a, b: first });
      }
      const whose = shape.startsWith('first') ? { en: 'The rest', zh: '剩下的' } : { en: 'They', zh: '' };
      const sharedThings = shape === 'first more' ? { en: 'All of them', zh: '全部' } : whose;
      opening += scene
        .say(
          {
            en: ` ${sharedThings.en} {are|get} {shared|divided} {equally |evenly |}{among|between} $k {friends|children|people|students|bags|plates}.`,
            zh: `${sharedThings.zh}平均{分给$k{个朋友|个孩子|个人|名学生}|分成$k份}。`,
          },
          values,
        )
        .replace('are are', 'are')
        .replace('get get', 'get');
      steps.push({ cue: share, operation: '/', a: steps.length === 0 ? a : before(0), b: k });
      let question: Wordings = {
        en: '{How many {$t |}does each {one |}get?|How many are there for each?|How many $t {are in|make} each {share|part}?}',
        zh: '{每{人|份}{有|得到|分到|是}{几|多少}$m？|每份多少$m？}',
      };
      if (shape === 'share then more') {
        question = {
          en: 'Then each {one |}gets $e more. How many $t does each {one |}have {now|then}?',
          zh: '然后每{人|份}再加$e$m，现在每份有多少$m？',
        };
        steps.push({ cue: scene.say(changeCues.gain, { x: first }), operation: '+', a: before(0), b: first });
      }
      const separator = scene.language === 'zh' ? '' : ' ';
      return {
        text: opening + separator + scene.say(question, values),
        steps,
        answer: (result) => scene.say({ en: 'Each gets $r $t.', zh: '每份有$r$m$t。' }, { r: result }),
      };
    },
  };
}

/** Rows of the same length, some places taken. */
export function drawSeats(random: Random): Story {
  const shape = random.pick(['all', 'free', 'people'] as const);
  const rows = random.integer(3, 9);
  const each = random.integer(4, 40);
  const taken = random.integer(2, rows * each - 1);
  return {
    situation: `seats ${shape}`,
    numbers: shape === 'all' ? [rows, each] : [rows, each, taken],
    tell(scene) {
      const values = { rows, each, taken };
      const hall = scene.say({ en: '{hall|cinema|theater|classroom|stadium}', zh: '{礼堂|电影院|剧院|教室|会议室}' });
      const opening = scene.say(
        {
          en: '{A $hall has $rows rows {of|with} $each seats{| each}.|There are $rows rows of $each seats in a $hall.}',
          zh: '{$hall|一个$hall}有$rows排座位，每排$each个，',
        },
        { ...values, hall },
      );
      const steps: Step[] = [
        { cue: scene.say({ en: '$rows rows', zh: '$rows排' }, values), operation: '*', a: rows, b: each },
      ];
      if (shape === 'all') {
        return {
          text: opening + scene.say({ en: ' How many seats are there{ in total|}?', zh: '一共有多少个座位？' }),
          steps,
          answer: (r) => scene.say({ en: 'There are $r seats.', zh: '一共有$r个座位。' }, { r }),
        };
      }
      const asks = shape === 'free';
      steps.push({
        cue: scene.say(asks ? { en: 'Free', zh: '空着' } : { en: 'Taken', zh: '坐人' }),
        operation: '-',
        a: before(0),
        b: taken,
      });
      const rest = asks
        ? {
            en: ' $taken {seats |}are taken. How many {seats |}are {free|empty}?',
            zh: '{坐了|已有}$taken人，还有多少个空座位？',
          }
        : {
            en: ' $taken {seats |}are {free|empty}. How many people {are there|sit there}?',
            zh: '空着$taken个，坐了多少人？',
          };
      const answer = asks
        ? { en: '$r seats are free.', zh: '还有$r个空座位。' }
        : { en: 'There are $r people.', zh: '坐了$r人。' };
      return { text: opening + scene.say(rest, values), steps, answer: (r) => scene.say(answer, { r }) };
    },
  };
}

/** Two parts of a group, some absent. */
export function drawClass(random: Random): Story {
  const shape = random.pick(['sum', 'absent', 'other part'] as const);
  const a = random.integer(5, 80);
  const b = random.integer(5, 80);
  const c = random.integer(1, Math.min(30, a + b - 1));
  return {
    situation: `parts ${shape}`,
    numbers: shape === 'sum' ? [a, b] : shape === 'absent' ? [a, b, c] : [a + b, a],
    tell(scene) {
      const [first, second, group] = scene
        .say({
          en: '{boys,girls,class|adults,children,group|cats,dogs,shelter|cars,buses,garage|red balls,blue balls,box|cows,horses,farm}',
          zh: '{男生,女生,班|大人,小孩,团|红球,蓝球,箱子|奶牛,马,农场|汽车,卡车,车库}',
        })
        .split(',');
      const values = { a, b, c, whole: a + b, first: first!, second: second!, group: group! };
      const sum: Step = { cue: scene.say({ en: 'All', zh: '总数' }), operation: '+', a, b };
      if (shape === 'sum') {
        return {
          text: scene.say(
            {
              en: '{A|The} $group has $a $first and $b $second. How many is that {in total|altogether}?',
              zh: '$group里有$a{个|}$first和$b{个|}$second，一共有多少？',
            },
            values,
          ),
          steps: [sum],
          answer: (r) => scene.say({ en: 'It is $r in total.', zh: '一共有$r。' }, { r }),
        };
      }
      if (shape === 'absent') {
        return {
          text: scene.say(
            {
              en: '{A|The} $group has $a $first and $b $second. Today $c of them are {away|missing|not there}. How many are there today?',
              zh: '$group里有$a{个|}$first和$b{个|}$second，今天{少了|缺了}$c个，今天有多少？',
            },
            values,
          ),
          steps: [sum, { cue: scene.say(changeCues.lose, { x: c }), operation: '-', a: before(0), b: c }],
          answer: (r) => scene.say({ en: '$r are there today.', zh: '今天有$r个。' }, { r }),
        };
      }
      return {
        text: scene.say(
          {
            en: '{A|The} $group has $whole $first and $second {in total|altogether}. $a are $first. How many {are $second|$second are there}?',
            zh: '$group里$first和$second一共$whole个，其中$first$a个，$second有多少个？',
          },
          values,
        ),
        steps: [{ cue: scene.say({ en: '$second', zh: '$second' }, values), operation: '-', a: a + b, b: a }],
        answer: (r) => scene.say({ en: 'There are $r $second.', zh: '$second有$r个。' }, { ...values, r }),
      };
    },
  };
}

/** What a number of cakes, bikes or rooms needs, and what is missing or left. */
export function drawRecipe(random: Random): Story {
  const shape = random.pick(['needs', 'missing', 'left'] as const);
  const k = random.integer(2, 9);
  const each = random.integer(2, 24);
  const has = shape === 'missing' ? random.integer(1, k * each - 1) : k * each + random.integer(1, 60);
  return {
    situation: `recipe ${shape}`,
    numbers: shape === 'needs' ? [k, each] : [k, each, has],
    tell(scene) {
      const [product, part] = scene
        .say({
          en: '{cake,eggs|table,screws|necklace,beads|dress,buttons|pizza,olives|toy car,parts|letter,stamps|house,windows}',
          zh: '{蛋糕,鸡蛋|桌子,螺丝|项链,珠子|裙子,纽扣|比萨,橄榄|玩具车,零件}',
        })
        .split(',');
      const values = { k, each, has, product: product!, part: part! };
      const opening = scene.say(
        {
          en: '{One|A|Every} $product needs $each $part. $n {makes|wants to make|plans} $k.',
          zh: '做一个$product需要$each个$part，$n要做$k个，',
        },
        values,
      );
      const steps: Step[] = [{ cue: scene.say({ en: 'Needs', zh: '需要' }), operation: '*', a: k, b: each }];
      if (shape === 'needs') {
        return {
          text:
            opening +
            scene.say({ en: ' How many $part {are needed|does $n need}?', zh: '一共需要多少个$part？' }, values),
          steps,
          answer: (r) => scene.say({ en: '$n needs $r $part.', zh: '$n需要$r个$part。' }, { ...values, r }),
        };
      }
      if (shape === 'missing') {
        steps.push({ cue: scene.say({ en: 'Missing', zh: '还差' }), operation: '-', a: before(0), b: has });
        return {
          text:
            opening +
            scene.say(
              {
                en: ' $n has {only |}$has{ $part|}. How many {more |}are {missing|still needed}?',
                zh: '{只|}有$has个，还差多少个？',
              },
              values,
            ),
          steps,
          answer: (r) => scene.say({ en: '$r $part are missing.', zh: '还差$r个$part。' }, { ...values, r }),
        };
      }
      steps.push({ cue: scene.say({ en: 'Left', zh: '剩下' }), operation: '-', a: has, b: before(0) });
      return {
        text:
          opening +
          scene.say(
            { en: ' $n has $has{ $part|}. How many {$part |}are left{ over|}?', zh: '有$has个，还剩多少个？' },
            values,
          ),
        steps,
        answer: (r) => scene.say({ en: '$r $part are left.', zh: '还剩$r个$part。' }, { ...values, r }),
      };
    },
  };
}
