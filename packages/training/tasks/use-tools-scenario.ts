// What a scenario is, and the parts it is told with.
//
// Owns the shapes of requests and scenarios and the telling of one lookup, one deed and the tools beside them. Knows nothing
// about which scenarios there are, messages or judging. A request is drawn first, as content alone; telling it draws names, results and words.
import type { JsonValue, ToolSchema } from '@hadal/formats/chat/message';
import { phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import type { Language, Split } from './task.ts';
import { type Action, actions, sendEmail } from './use-tools-actions.ts';
import { type Attribute, type Entity, entities } from './use-tools-entities.ts';
import { actionTool, attributeTool, type Tool } from './use-tools-schemas.ts';

export interface ScenarioCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, JsonValue>>;
  readonly result: JsonValue;
}

/** One assistant turn: a thought and the calls made together. */
export interface Stage {
  readonly thought: string;
  readonly calls: readonly ScenarioCall[];
}

export type Mention = string | RegExp | ((content: string) => boolean);

export interface Scenario {
  readonly text: string;
  readonly tools: readonly ToolSchema[];
  readonly stages: readonly Stage[];
  readonly thought: string;
  readonly answer: string;
  /** What the answer must hold: texts, patterns where words may vary, or another judge's yes. */
  readonly mentions: readonly Mention[];
}

/** What is wanted, without its words. */
export interface Request {
  readonly key: string;
  readonly language: Language;
  tell(telling: Telling): Scenario;
}

/** What telling a request needs: words of its language, and a split for the question that needs no tool. */
export interface Telling {
  readonly random: Random;
  readonly language: Language;
  readonly split: Split;
  readonly index: number;
  say(wordings: Wordings, values?: Readonly<Record<string, string | number>>): string;
}

export type Wordings = Readonly<Record<Language, string>>;

export function tellRequest(
  random: Random,
  request: Request,
  place: { readonly split: Split; readonly index: number },
): Scenario {
  return request.tell({
    random,
    language: request.language,
    ...place,
    say: (wordings, values) => phrase(random, wordings[request.language], values),
  });
}

export function subjectOf(wanted: Pick<Wanted, 'entity' | 'subject'>, language: Language): string {
  return wanted.entity.named[language].replace('$x', wanted.subject);
}

/** "price" or "价格". */
export function nameOf(attribute: Attribute, language: Language): string {
  return language === 'zh' ? attribute.zh : attribute.en;
}

export interface Wanted {
  readonly entity: Entity;
  readonly attribute: Attribute;
  readonly subject: string;
}

export const lookupWordings: Wordings = {
  en:
    '{{What is|Tell me|Find|Give me|Look up|I need|Show me|Check|Please get|Can you find|Do you know|I would like to know} the $a of $x{?|.|}|$x: what is the $a?|' +
    '$a of $x{?|, please.|}|What $a does $x have?|Please {check|look up} the $a {of|for} $x.}',
  zh: '{$x的$a是{什么|多少|}？|{查一下|告诉我|帮我查|我想知道|看看|请查|能查一下|我要}$x的$a{。|}|$x的$a{？|呢？|}}',
};

/** A question for one attribute of one thing: in general words or in the usual ones. */
export function askFor(telling: Telling, attribute: Attribute, values: Readonly<Record<string, string>>): string {
  return telling.say(attribute.asked && telling.random.chance(0.45) ? attribute.asked : lookupWordings, values);
}

/** A lookup ready to be called, and the words about it. */
export function lookup(telling: Telling, wanted: Wanted, given?: Tool & { readonly key: string }) {
  const { random, language } = telling;
  const tool = given ?? attributeTool(random, wanted.entity, wanted.attribute, language);
  const value = wanted.attribute.draw(random, language);
  const call: ScenarioCall = {
    name: tool.schema.name,
    arguments: { [tool.parameters[0]!]: wanted.subject },
    result: { [tool.key]: value },
  };
  const values = {
    a: nameOf(wanted.attribute, language),
    x: subjectOf(wanted, language),
    f: tool.schema.name,
    r: String(value),
  };
  return { tool, call, values };
}

export interface Deed {
  readonly action: Action;
  readonly given: readonly JsonValue[];
}

export function drawDeed(random: Random, language: Language, action: Action): Deed {
  return { action, given: action.parameters.map((parameter) => parameter.draw(random, language)) };
}

/** The action's call, and the words for its parameters. */
export function perform(telling: Telling, deed: Deed) {
  const tool = actionTool(telling.random, deed.action, telling.language);
  const result = telling.random.pick<JsonValue>([
    { status: 'ok' },
    { ok: true },
    { success: true },
    { status: 'done' },
  ]);
  const call: ScenarioCall = {
    name: tool.schema.name,
    arguments: Object.fromEntries(tool.parameters.map((parameter, i) => [parameter, deed.given[i]!])),
    result,
  };
  const [a = '', b = '', c = ''] = deed.given.map((value) => spoken(value, telling.language));
  return { tool, call, values: { a, b, c, f: tool.schema.name } };
}

function spoken(value: JsonValue, language: Language): string {
  if (typeof value === 'boolean') return language === 'zh' ? (value ? '打开' : '关闭') : value ? 'on' : 'off';
  return String(value);
}

/** The needed tools and some others that are no use here: none looks up a needed attribute or does a needed deed. */
export function withOthers(
  telling: Telling,
  needed: readonly Tool[],
  attributes: readonly Attribute[],
  deeds: readonly Action[],
  count = telling.random.weighted([
    [0, 35],
    [1, 40],
    [2, 25],
  ]),
): ToolSchema[] {
  const { random, language } = telling;
  const schemas = needed.map((tool) => tool.schema);
  const taken = new Set(schemas.map((schema) => schema.name));
  const avoided = new Set(attributes.map((attribute) => attribute.en));
  while (schemas.length < needed.length + count) {
    const schema = drawOther(random, language, avoided, deeds);
    if (schema === undefined || taken.has(schema.name)) continue;
    taken.add(schema.name);
    schemas.push(schema);
  }
  return schemas;
}

function drawOther(
  random: Random,
  language: Language,
  avoided: ReadonlySet<string>,
  deeds: readonly Action[],
): ToolSchema | undefined {
  if (random.chance(0.4)) {
    const action = random.pick(actions);
    return deeds.includes(action) || action === sendEmail ? undefined : actionTool(random, action, language).schema;
  }
  const entity = random.pick(entities);
  const attribute = random.pick(entity.attributes);
  return avoided.has(attribute.en) ? undefined : attributeTool(random, entity, attribute, language).schema;
}
