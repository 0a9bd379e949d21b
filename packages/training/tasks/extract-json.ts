// extract-json: a short message and a schema in, the JSON out.
//
// Owns prompts, schemas, the expert's JSON and the judge, over any kinds of records; the usual kinds, and what a message can say of
// them, are extract-json-records.ts. The JSON holds exactly the schema's keys, in its order; the message may state more than is
// asked for, in any order. The judge parses the answer and compares values, not text.
import { isDeepStrictEqual } from 'node:util';
import type { ChatMessage, JsonValue } from '@hadal/formats/chat/message';
import { pythonJson } from '@hadal/formats/chat/python-json';
import { correct, expertTurn, readJson, userMessage, wrong } from './evaluate-answer.ts';
import { type Field, type RecordKind, recordKinds } from './extract-json-records.ts';
import type { Said } from './extract-json-values.ts';
import { phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import { type ChatProblem, drawFor, type Language, type Task } from './task.ts';

interface Fact {
  readonly field: Field;
  readonly said: Said;
  /** The schema's key for it; undefined where the schema does not ask. */
  readonly asked: string | undefined;
}

/** The task over these kinds of records. */
export function extractionTask(name: string, kinds: readonly RecordKind[]): Task {
  return {
    name,
    generate(split, index): ChatProblem {
      const { drawn, random } = drawFor(name, split, index, (draws) => {
        const language: Language = draws.chance(0.3) ? 'zh' : 'en';
        const kind = draws.pick(kinds);
        const facts = drawFacts(draws, kind, language);
        const key = `${kind.name} ${facts
          .map(({ field, said }) => `${firstKey(field)}=${pythonJson(said.value)}`)
          .sort()
          .join('; ')}`;
        return { language, kind, facts, key, isSmall: false };
      });
      const { language, kind, facts } = drawn;
      const thinking = random.chance(0.5);
      const asked = random.shuffle(facts.filter((fact) => fact.asked !== undefined));
      const expected = Object.fromEntries(asked.map((fact) => [fact.asked!, fact.said.value]));
      return {
        kind: 'chat',
        task: name,
        language,
        thinking,
        key: drawn.key,
        messages: prompt(random, language, tellFacts(random, language, kind, facts), asked),
        tools: [],
        solution: [expertTurn(thinking, thinking ? thought[language] : '', pythonJson(expected))],
        judge: (final) => {
          const came = readJson(final.content);
          return isDeepStrictEqual(came, expected) ? correct : wrong(pythonJson(expected), final.content);
        },
      };
    },
  };
}

export const extractJson: Task = extractionTask('extract-json', recordKinds);

function drawFacts(random: Random, kind: RecordKind, language: Language): Fact[] {
  const stated = random.sample(kind.fields, random.integer(2, Math.min(5, kind.fields.length)));
  const askedCount = random.chance(0.55) ? stated.length : random.integer(1, stated.length);
  const camel = random.chance(0.25);
  const usesChineseKeys = language === 'zh' && random.chance(0.35);
  const taken = new Set<string>();
  return stated.map((field, i) => {
    const said = field.draw(random, language);
    const free = (usesChineseKeys ? field.zhKeys : field.keys).split('|').filter((key) => !taken.has(key));
    // The first names are the usual ones.
    const key = random.chance(0.4) ? free[0] : free.length === 0 ? undefined : random.pick(free);
    if (i >= askedCount || key === undefined) return { field, said, asked: undefined };
    taken.add(key);
    return { field, said, asked: camel ? camelCase(key) : key };
  });
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The message: every fact once, as sentences or as notes. */
function tellFacts(random: Random, language: Language, kind: RecordKind, facts: readonly Fact[]): string {
  const parts: string[] = [];
  let rest = random.shuffle(facts);
  for (const compound of random.shuffle(kind.compounds)) {
    const told = compound.of.map((key) => rest.find(({ field }) => firstKey(field) === key));
    if (told.includes(undefined) || random.chance(0.4)) continue;
    rest = rest.filter((fact) => !told.includes(fact));
    const [a = '', b = '', c = '', d = ''] = told.map((fact) => fact!.said.text);
    parts.push(phrase(random, compound[language], { a, b, c, d }));
  }
  for (const { field, said } of rest) {
    const wordings = field[language].split(/(?<=\})\/(?=\{)/);
    const wording = said.value === false ? wordings[1]! : wordings[0]!;
    parts.splice(random.integer(0, parts.length), 0, phrase(random, wording, { v: said.text }));
  }
  return layOut(
    random,
    language,
    parts.map((part) => part.replace(/\ba (?=[aeiou])/g, 'an ')),
  );
}

function firstKey(field: Field): string {
  return field.keys.split('|')[0]!;
}

function layOut(random: Random, language: Language, parts: readonly string[]): string {
  const style = random.pick(['sentences', 'sentences', 'notes', 'lines'] as const);
  if (language === 'zh') {
    const text =
      style === 'sentences' ? `${parts.join('。')}。` : style === 'notes' ? `${parts.join('，')}。` : parts.join('\n');
    return random.chance(0.2) ? phrase(random, '{你好，|您好！|备注：|大家好，}') + text : text;
  }
  const text =
    style === 'sentences'
      ? `${parts.map(upperFirst).join('. ')}.`
      : style === 'notes'
        ? upperFirst(`${parts.join(', ')}.`)
        : parts.map(upperFirst).join('\n');
  return random.chance(0.2)
    ? phrase(random, '{Hello! |Hi, here are the details. |Note: |Dear team, |FYI: }') + text
    : text;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Schema and message, together in the user's words or apart in a system message. */
function prompt(random: Random, language: Language, message: string, asked: readonly Fact[]): ChatMessage[] {
  const schema = jsonSchema(random, language, asked);
  const form = random.weighted([
    ['user', 40],
    ['brief', 20],
    ['system', 22],
    ['format', 18],
  ] as const);
  if (form === 'format') {
    return [
      { role: 'system', content: phrase(random, systemTexts[language]), responseFormat: schema },
      userMessage(message),
    ];
  }
  if (form === 'system') {
    return [
      { role: 'system', content: phrase(random, systemSchemas[language], { schema: pythonJson(schema) }) },
      userMessage(message),
    ];
  }
  const shown = form === 'brief' ? briefSchema(asked) : pythonJson(schema);
  return [userMessage(phrase(random, requests[language], { schema: shown, message }))];
}

function jsonSchema(random: Random, language: Language, asked: readonly Fact[]): JsonValue {
  const properties = Object.fromEntries(asked.map((fact) => [fact.asked!, propertySchema(fact.field, language)]));
  const isStrict = random.chance(0.5);
  return {
    type: 'object',
    properties,
    ...(isStrict ? { required: asked.map((fact) => fact.asked!) } : {}),
  };
}

function propertySchema(field: Field, language: Language): JsonValue {
  switch (field.type) {
    case 'enum':
      return { type: 'string', enum: field.levels![language] };
    case 'strings':
      return { type: 'array', items: { type: 'string' } };
    default:
      return { type: field.type };
  }
}

/** "name (string), qty (integer)": the fields as people list them. */
function briefSchema(asked: readonly Fact[]): string {
  return asked
    .map(
      ({ asked: key, field }) =>
        `${key} (${field.type === 'strings' ? 'list of strings' : field.type === 'enum' ? 'string' : field.type})`,
    )
    .join(', ');
}

/** There is nothing to work out: every value stands in the message. */
const thought: Readonly<Record<Language, string>> = {
  en: 'I take each value from the message.',
  zh: '从消息中取出每个值。',
};

const systemTexts: Readonly<Record<Language, string>> = {
  en: '{Extract the data.|Reply with JSON.|Turn the message into JSON.|You extract data from messages.|Answer in JSON only.}',
  zh: '{提取数据。|用JSON回答。|把消息转换成JSON。|你从消息中提取数据。|只输出JSON。}',
};

const systemSchemas: Readonly<Record<Language, string>> = {
  en: '{{Extract the data|Turn the message into JSON|Reply with JSON only|Answer with JSON|Give back JSON}{ that follows this schema| with this schema| by this JSON schema}:|Schema:|JSON schema:}{ |\n}$schema',
  zh: '{{提取数据，|把消息转换成JSON，|只输出JSON，|用JSON回答，}{按照|遵循}{这个|以下}{模式|格式|JSON Schema}：|JSON Schema：|格式：}{|\n}$schema',
};

const requests: Readonly<Record<Language, string>> = {
  en:
    '{{Extract|Read|Get|Pull out} {the data|the fields|the information} from {this|the} {message|text|note}{ as JSON| into JSON|}. {Schema|Fields|JSON schema|Format}: $schema\n{Message|Text|Note|Input}: $message|' +
    '{Convert|Turn|Parse} {this|the} {message|text|note} into JSON. {Schema|Fields|Use this schema}: $schema\n\n$message|' +
    '$message\n\n{Give me|Return|Write|Output} {this|the message|that} as JSON with {the schema|the fields|these fields|this schema}: $schema|' +
    '{Message|Text}: $message\n{Schema|Fields}: $schema\n{JSON:|Answer with JSON.|Extract the fields as JSON.|Only JSON, please.}|' +
    'Fill {this schema|these fields}: $schema\nfrom {this|the} {text|message}: $message}',
  zh:
    '{{从|请从|帮我从}{下面的|这段|以下}{消息|文字|文本}中提取{数据|字段|信息}{，输出JSON|}。{模式|字段|格式}：$schema\n{消息|文本}：$message|' +
    '把{这段|下面的}{话|文字|消息}{转成|变成|整理成}JSON，{字段|格式|模式}：$schema\n$message|' +
    '$message\n{请|}{按|用}{这个格式|这些字段|下面的模式}输出JSON：$schema|{消息|内容}：$message\n{字段|模式}：$schema\n{输出JSON。|只要JSON。|JSON：}}',
};
