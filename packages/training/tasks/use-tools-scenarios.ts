// The scenarios behind use-tools.
//
// Owns what a user may want done with tools (look up, act, both in a row, two at once, nothing that tools can do) and how it
// is asked, thought about and answered. Knows nothing about messages or judging.
import type { JsonValue } from '@hadal/formats/chat/message';
import { introduce } from './introduce.ts';
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import { actions, calculate, sendEmail, setAlarm } from './use-tools-actions.ts';
import {
  type Attribute,
  contact,
  customerAttribute,
  departureAttribute,
  type Entity,
  emailAttribute,
  employee,
  entities,
  flight,
  managerAttribute,
  order,
  phoneAttribute,
  priceAttribute,
  product,
} from './use-tools-entities.ts';
import {
  askFor,
  drawDeed,
  lookup,
  lookupWordings,
  nameOf,
  perform,
  type Request,
  subjectOf,
  type Wanted,
  type Wordings,
  withOthers,
} from './use-tools-scenario.ts';
import { attributeTool, recordTool } from './use-tools-schemas.ts';

export function drawRequest(random: Random): Request {
  const language: Language = random.chance(0.3) ? 'zh' : 'en';
  const drawKind = random.weighted(kinds);
  const { key, tell } = drawKind(random, language);
  return { key, language, tell };
}

type Drawing = (random: Random, language: Language) => Omit<Request, 'language'>;

const kinds: readonly (readonly [Drawing, number])[] = [
  [drawLookup, 24],
  [drawRecord, 9],
  [drawAction, 19],
  [drawPair, 9],
  [drawTwoTools, 6],
  [drawRelated, 10],
  [drawEmailTo, 6],
  [drawAlarm, 3],
  [drawCost, 5],
  [drawEmailToRelated, 6],
  [drawMissing, 5],
  [drawChat, 6],
  [drawUnsuitable, 7],
];

function drawWanted(random: Random, language: Language): Wanted {
  const entity = random.pick(entities);
  return { entity, attribute: random.pick(entity.attributes), subject: entity.draw(random, language) };
}

const needThought: Wordings = { en: 'I need the $a of $x: $f.', zh: '要查$x的$a，用$f。' };
const foundThought: Wordings = { en: 'The $a is $r.', zh: '$a是$r。' };
const foundAnswer: Wordings = { en: '{The $a of $x is $r.}', zh: '{$x的$a是$r。}' };

function drawLookup(random: Random, language: Language): Omit<Request, 'language'> {
  const wanted = drawWanted(random, language);
  return {
    key: `lookup ${wanted.entity.name} ${wanted.attribute.en} ${wanted.subject}`,
    tell(telling) {
      const { tool, call, values } = lookup(telling, wanted);
      return {
        text: askFor(telling, wanted.attribute, values),
        tools: withOthers(telling, [tool], [wanted.attribute], []),
        stages: [{ thought: telling.say(needThought, values), calls: [call] }],
        thought: telling.say(foundThought, values),
        answer: telling.say(foundAnswer, values),
        mentions: [String(values.r)],
      };
    },
  };
}

/** A tool gives a whole record; one attribute is wanted. */
function drawRecord(random: Random, language: Language): Omit<Request, 'language'> {
  const wanted = drawWanted(random, language);
  return {
    key: `record ${wanted.entity.name} ${wanted.attribute.en} ${wanted.subject}`,
    tell(telling) {
      const tool = recordTool(telling.random, wanted.entity, language);
      const others = wanted.entity.attributes.filter((attribute) => attribute !== wanted.attribute);
      const shown = telling.random.shuffle([
        wanted.attribute,
        ...telling.random.sample(others, telling.random.integer(1, Math.min(3, others.length))),
      ]);
      const result = Object.fromEntries(
        shown.map((attribute) => [attribute.keys.split('|')[0]!, attribute.draw(telling.random, language)]),
      );
      const value = String(result[wanted.attribute.keys.split('|')[0]!]);
      const values = {
        a: nameOf(wanted.attribute, language),
        x: subjectOf(wanted, language),
        f: tool.schema.name,
        r: value,
      };
      return {
        text: askFor(telling, wanted.attribute, values),
        tools: withOthers(telling, [tool], wanted.entity.attributes, []),
        stages: [
          {
            thought: telling.say(needThought, values),
            calls: [{ name: tool.schema.name, arguments: { [tool.parameters[0]!]: wanted.subject }, result }],
          },
        ],
        thought: telling.say(foundThought, values),
        answer: telling.say(foundAnswer, values),
        mentions: [value],
      };
    },
  };
}

const doThought: Wordings = { en: 'This is done with $f.', zh: '用$f来做。' };
const doneThought: Wordings = { en: 'It worked.', zh: '成功了。' };
/** A call whose result is to be told, not a deed. */
const resultAnswer: Wordings = { en: '{The result is $r.|$a = $r}', zh: '{结果是$r。|$a = $r}' };

function drawAction(random: Random, language: Language): Omit<Request, 'language'> {
  const deed = drawDeed(random, language, random.pick([...actions, calculate]));
  return {
    key: `action ${deed.action.name} ${deed.given.join(' ')}`,
    tell(telling) {
      const { tool, call, values } = perform(telling, deed);
      const isCalculation = deed.action === calculate;
      const result = isCalculation ? evaluate(String(deed.given[0])) : 0;
      const answered = { ...values, r: result };
      return {
        text: telling.say(deed.action.asked, values),
        tools: withOthers(telling, [tool], [], [deed.action]),
        stages: [
          { thought: telling.say(doThought, values), calls: [isCalculation ? { ...call, result: { result } } : call] },
        ],
        thought: isCalculation
          ? telling.say({ en: 'The result is $r.', zh: '结果是$r。' }, answered)
          : telling.say(doneThought),
        answer: telling.say(isCalculation ? resultAnswer : deed.action.done, answered),
        mentions: isCalculation ? [String(result)] : [],
      };
    },
  };
}

/** "120 * 14", as the calculator tool computes it. */
function evaluate(expression: string): number {
  const [a, operation, b] = expression.split(' ');
  const x = Number(a);
  const y = Number(b);
  return operation === '+' ? x + y : operation === '-' ? x - y : x * y;
}

/** One tool for two or three things at once. */
function drawPair(random: Random, language: Language): Omit<Request, 'language'> {
  const wanted = drawWanted(random, language);
  const subjects = new Set([wanted.subject]);
  const count = random.chance(0.75) ? 2 : 3;
  while (subjects.size < count) subjects.add(wanted.entity.draw(random, language));
  return {
    key: `pair ${wanted.entity.name} ${wanted.attribute.en} ${[...subjects].sort().join(' ')}`,
    tell(telling) {
      const tool = attributeTool(telling.random, wanted.entity, wanted.attribute, language);
      const lookups = [...subjects].map((subject) => lookup(telling, { ...wanted, subject }, tool));
      const names = lookups.map(({ values }) => values.x);
      const values = { a: nameOf(wanted.attribute, language), x: listed(names, language), f: tool.schema.name };
      const separator = language === 'zh' ? '，' : ', ';
      const found = lookups
        .map(({ values: each }) => `${each.x}${language === 'zh' ? '：' : ': '}${each.r}`)
        .join(separator);
      return {
        text: telling.say(lookupWordings, values),
        tools: withOthers(telling, [tool], [wanted.attribute], []),
        stages: [{ thought: telling.say(needThought, values), calls: lookups.map(({ call }) => call) }],
        thought: `${found}${language === 'zh' ? '。' : '.'}`,
        answer: telling.say({ en: 'The $a: $found.', zh: '$a：$found。' }, { a: values.a, found }),
        mentions: lookups.map(({ values: each }) => each.r),
      };
    },
  };
}

function listed(names: readonly string[], language: Language): string {
  const head = names.slice(0, -1);
  return language === 'zh' ? `${head.join('、')}和${names.at(-1)}` : `${head.join(', ')} and ${names.at(-1)}`;
}

/** Two wishes in one message: a lookup and a deed, or two lookups by different tools. */
function drawTwoTools(random: Random, language: Language): Omit<Request, 'language'> {
  const wanted = drawWanted(random, language);
  const deed = drawDeed(random, language, random.pick(actions));
  return {
    key: `two ${wanted.entity.name} ${wanted.attribute.en} ${wanted.subject} ${deed.action.name} ${deed.given.join(' ')}`,
    tell(telling) {
      const found = lookup(telling, wanted);
      const done = perform(telling, deed);
      const first = askFor(telling, wanted.attribute, found.values);
      const second = telling.say(deed.action.asked, done.values);
      const ended = /[.?。？!"”]$/.test(first) ? first : `${first}${language === 'zh' ? '。' : '.'}`;
      return {
        text:
          language === 'zh'
            ? `${ended}${telling.random.pick(['', '另外，', '还有，'])}${second}`
            : `${ended} ${telling.random.pick(['', '', 'Also: '])}${second}`,
        tools: withOthers(telling, [found.tool, done.tool], [wanted.attribute], [deed.action]),
        stages: [
          {
            thought: telling.say(
              { en: 'Two things: $f and $g.', zh: '两件事：$f和$g。' },
              { f: found.values.f, g: done.values.f },
            ),
            calls: [found.call, done.call],
          },
        ],
        thought: telling.say(foundThought, found.values),
        answer: `${telling.say(foundAnswer, found.values)}${language === 'zh' ? '' : ' '}${telling.say(deed.action.done, done.values)}`,
        mentions: [found.values.r],
      };
    },
  };
}

/** Attributes whose value is a person that the next tool can be asked about. */
const relations: readonly (readonly [Entity, Attribute])[] = entities.flatMap((entity) =>
  entity.attributes.filter((attribute) => isPerson(entity, attribute)).map((attribute) => [entity, attribute] as const),
);

function isPerson(entity: Entity, attribute: Attribute): boolean {
  const related = ['manager', 'customer', 'owner', 'doctor', 'teacher', 'guest', 'author', 'mayor'];
  return attribute.draw === managerAttribute.draw && related.includes(attribute.en) && entity !== contact;
}

interface Relation {
  readonly near: Wanted;
  readonly far: Attribute;
}

function drawRelation(random: Random, language: Language): Relation {
  const [entity, attribute] = random.weighted([
    [[employee, managerAttribute] as const, 3],
    [[order, customerAttribute] as const, 2],
    [random.pick(relations), 5],
  ]);
  return {
    near: { entity, attribute, subject: entity.draw(random, language) },
    far: random.pick([emailAttribute, phoneAttribute]),
  };
}

/** "What is the phone number of the manager of Anna?": the first result is the second question. */
function drawRelated(random: Random, language: Language): Omit<Request, 'language'> {
  const { near, far } = drawRelation(random, language);
  return {
    key: `related ${near.entity.name} ${near.attribute.en} ${near.subject} ${far.en}`,
    tell(telling) {
      const first = lookup(telling, near);
      const second = lookup(telling, { entity: contact, attribute: far, subject: first.values.r });
      const values = { a: second.values.a, x: relationName(near, language) };
      return {
        text: askFor(telling, far, values),
        tools: withOthers(telling, [first.tool, second.tool], [near.attribute, far], []),
        stages: [
          { thought: telling.say(needThought, first.values), calls: [first.call] },
          {
            thought: `${telling.say(foundThought, first.values)} ${telling.say(needThought, second.values)}`,
            calls: [second.call],
          },
        ],
        thought: telling.say(foundThought, second.values),
        answer: telling.say(foundAnswer, second.values),
        mentions: [second.values.r],
      };
    },
  };
}

function relationName(near: Wanted, language: Language): string {
  const subject = subjectOf(near, language);
  return language === 'zh' ? `${subject}的${near.attribute.zh}` : `the ${near.attribute.en} of ${subject}`;
}

const emailWordings: Wordings = {
  en: '{Email $x: "$t"|Send $x an email: "$t"|Write an email to $x saying "$t".|Send an email to $x with the text "$t".}',
  zh: '{给$x发邮件：“$t”|发一封邮件给$x，内容是“$t”。|写邮件给$x：“$t”}',
};

/** The address is looked up, then written to. */
function drawEmailTo(random: Random, language: Language): Omit<Request, 'language'> {
  const subject = contact.draw(random, language);
  const text = sendEmail.parameters[1]!.draw(random, language);
  return {
    key: `email to ${subject} ${text}`,
    tell(telling) {
      const found = lookup(telling, { entity: contact, attribute: emailAttribute, subject });
      const sent = perform(telling, { action: sendEmail, given: [found.values.r, text] });
      return {
        text: telling.say(emailWordings, { x: subject, t: String(text) }),
        tools: withOthers(telling, [found.tool, sent.tool], [emailAttribute], [sendEmail]),
        stages: [
          { thought: telling.say(needThought, found.values), calls: [found.call] },
          {
            thought: `${telling.say(foundThought, found.values)} ${telling.say(doThought, sent.values)}`,
            calls: [sent.call],
          },
        ],
        thought: telling.say(doneThought),
        answer: telling.say(sendEmail.done, sent.values),
        mentions: [],
      };
    },
  };
}

/** Three calls: who, which address, send. */
function drawEmailToRelated(random: Random, language: Language): Omit<Request, 'language'> {
  const { near } = drawRelation(random, language);
  const text = sendEmail.parameters[1]!.draw(random, language);
  return {
    key: `email to related ${near.entity.name} ${near.attribute.en} ${near.subject} ${text}`,
    tell(telling) {
      const first = lookup(telling, near);
      const second = lookup(telling, { entity: contact, attribute: emailAttribute, subject: first.values.r });
      const sent = perform(telling, { action: sendEmail, given: [second.values.r, text] });
      return {
        text: telling.say(emailWordings, { x: relationName(near, language), t: String(text) }),
        tools: withOthers(telling, [first.tool, second.tool, sent.tool], [near.attribute, emailAttribute], [sendEmail]),
        stages: [
          { thought: telling.say(needThought, first.values), calls: [first.call] },
          {
            thought: `${telling.say(foundThought, first.values)} ${telling.say(needThought, second.values)}`,
            calls: [second.call],
          },
          {
            thought: `${telling.say(foundThought, second.values)} ${telling.say(doThought, sent.values)}`,
            calls: [sent.call],
          },
        ],
        thought: telling.say(doneThought),
        answer: telling.say(sendEmail.done, sent.values),
        mentions: [],
      };
    },
  };
}

/** The alarm rings when the flight leaves. */
function drawAlarm(random: Random, language: Language): Omit<Request, 'language'> {
  const subject = flight.draw(random, language);
  return {
    key: `alarm ${subject}`,
    tell(telling) {
      const found = lookup(telling, { entity: flight, attribute: departureAttribute, subject });
      const set = perform(telling, { action: setAlarm, given: [found.values.r] });
      return {
        text: telling.say(
          {
            en: '{Set an alarm for the departure of $x.|Wake me when $x leaves.|Set an alarm for the departure time of $x.|I need an alarm when $x departs.}',
            zh: '{按$x的出发时间设闹钟。|$x出发时叫我。|帮我把闹钟设在$x的出发时间。}',
          },
          { x: found.values.x },
        ),
        tools: withOthers(telling, [found.tool, set.tool], [departureAttribute], [setAlarm]),
        stages: [
          { thought: telling.say(needThought, found.values), calls: [found.call] },
          {
            thought: `${telling.say(foundThought, found.values)} ${telling.say(doThought, set.values)}`,
            calls: [set.call],
          },
        ],
        thought: telling.say(doneThought),
        answer: telling.say(setAlarm.done, set.values),
        mentions: [found.values.r],
      };
    },
  };
}

/** A price is looked up and multiplied by the calculator. */
function drawCost(random: Random, language: Language): Omit<Request, 'language'> {
  const subject = product.draw(random, language);
  const n = random.integer(2, 60);
  return {
    key: `cost ${n} ${subject}`,
    tell(telling) {
      const found = lookup(telling, { entity: product, attribute: priceAttribute, subject });
      const expression = `${n} * ${found.values.r}`;
      const computed = perform(telling, { action: calculate, given: [expression] });
      const result = evaluate(expression);
      return {
        text: telling.say(
          {
            en: '{What {is the price of|do I pay for} $n times $x?|How much do I pay for $n of $x?|Compute the cost of $n pieces of $x.|I buy $n times $x. What is the total?}',
            zh: '{买$n件$x{一共|总共|}多少钱？|$n件$x的总价是多少？|算一下$n件$x要多少钱。}',
          },
          { n, x: found.values.x },
        ),
        tools: withOthers(telling, [found.tool, computed.tool], [priceAttribute], [calculate]),
        stages: [
          { thought: telling.say(needThought, found.values), calls: [found.call] },
          {
            thought: `${telling.say(foundThought, found.values)} ${telling.say({ en: 'Then $e with $f.', zh: '再用$f算$e。' }, { e: expression, f: computed.values.f })}`,
            calls: [{ ...computed.call, result: { result } }],
          },
        ],
        thought: telling.say({ en: 'The result is $r.', zh: '结果是$r。' }, { r: result }),
        answer: telling.say({ en: '{The total is $r.|It costs $r.}', zh: '{一共$r。|总价是$r。}' }, { r: result }),
        mentions: [String(result)],
      };
    },
  };
}

/** The tool finds nothing, and the answer says so. */
function drawMissing(random: Random, language: Language): Omit<Request, 'language'> {
  const wanted = drawWanted(random, language);
  return {
    key: `missing ${wanted.entity.name} ${wanted.attribute.en} ${wanted.subject}`,
    tell(telling) {
      const { tool, call, values } = lookup(telling, wanted);
      const error = telling.random.pick<JsonValue>([
        { error: 'not found' },
        { error: `unknown ${wanted.entity.name}` },
        { error: 'no such entry' },
        { error: 'timeout' },
        {},
      ]);
      return {
        text: telling.say(lookupWordings, values),
        tools: withOthers(telling, [tool], [wanted.attribute], []),
        stages: [{ thought: telling.say(needThought, values), calls: [{ ...call, result: error }] }],
        thought: telling.say({ en: 'The tool gave no $a.', zh: '工具没有给出$a。' }, values),
        answer: telling.say(
          {
            en: '{Sorry, I could not find the $a of $x.|I could not find the $a of $x.}',
            zh: '{抱歉，没有找到$x的$a。|没有查到$x的$a。}',
          },
          values,
        ),
        mentions: [/not|n't|没|无/],
      };
    },
  };
}

/** Tools are there, and the user only talks. */
function drawChat(random: Random, language: Language): Omit<Request, 'language'> {
  const seed = random.integer(0, 399_999_999);
  return {
    // Held out by the talk's own key; the seed only chooses where in the split it is drawn.
    key: `chat ${seed}`,
    tell(telling) {
      let at = 1_000_000_000 + seed;
      let talk = introduce.generate(telling.split, at);
      while (talk.kind !== 'chat' || talk.language !== language || talk.key.startsWith('unknown'))
        talk = introduce.generate(telling.split, ++at);
      const turn = talk.solution[0]!;
      const { judge } = talk;
      return {
        text: talk.messages.at(-1)!.content,
        tools: withOthers(telling, [], [], [], telling.random.integer(1, 3)),
        stages: [],
        thought: telling.say({ en: 'No tool is needed.', zh: '不需要工具。' }),
        answer: turn.content,
        mentions: [(content) => judge({ reasoning: '', content, toolCalls: [] }).isCorrect],
      };
    },
  };
}

/** None of the tools can do it. */
function drawUnsuitable(random: Random, language: Language): Omit<Request, 'language'> {
  const wanted = drawWanted(random, language);
  const deed = random.chance(0.4) ? drawDeed(random, language, random.pick(actions)) : undefined;
  return {
    key: deed
      ? `unsuitable ${deed.action.name} ${deed.given.join(' ')}`
      : `unsuitable ${wanted.entity.name} ${wanted.attribute.en} ${wanted.subject}`,
    tell(telling) {
      const text = deed
        ? telling.say(deed.action.asked, perform(telling, deed).values)
        : askFor(telling, wanted.attribute, { a: nameOf(wanted.attribute, language), x: subjectOf(wanted, language) });
      const avoided = deed ? [] : wanted.entity.attributes;
      return {
        text,
        tools: withOthers(telling, [], avoided, deed ? [deed.action] : [], telling.random.integer(1, 3)),
        stages: [],
        thought: telling.say({ en: 'None of the tools can do this.', zh: '没有工具能做这件事。' }),
        answer: telling.say({
          en: '{Sorry, I cannot do that: none of my tools fits.|I cannot do that with the tools I have.}',
          zh: '{抱歉，我没有合适的工具，做不到。|现有的工具做不到这件事。}',
        }),
        mentions: [/cannot|can't|not able|unable|none|no tool|没有|做不到|无法|不能/i],
      };
    },
  };
}
