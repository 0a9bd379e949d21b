// Schemas made of the catalogue.
//
// Owns how an attribute, a whole record or an action becomes a tool: its name, its parameters' names and its description
// vary with every draw. Knows nothing about requests or results.
import type { JsonValue, ToolSchema } from '@hadal/formats/chat/message';
import { phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import type { Action } from './use-tools-actions.ts';
import type { Attribute, Entity } from './use-tools-entities.ts';

/** A tool ready to be shown and called: its schema and the names that its parameters got. */
export interface Tool {
  readonly schema: ToolSchema;
  readonly parameters: readonly string[];
}

const lookupVerbs = 'get|get|get|find|fetch|look_up|query|check|read|show|search';

/** A tool that looks up one attribute of an entity. */
export function attributeTool(
  random: Random,
  entity: Entity,
  wanted: Attribute,
  language: Language,
): Tool & { readonly key: string } {
  const key = pickKey(random, wanted.keys);
  const parameter = pickKey(random, entity.parameters);
  const name = phrase(random, '{$verb_$entity_$key|$verb_$key|$entity_$key|$verb_$key_of_$entity|$key_lookup}', {
    verb: random.pick(lookupVerbs.split('|')),
    entity: entity.name,
    key,
  });
  const description =
    language === 'zh' && random.chance(0.6)
      ? phrase(random, '{查询|获取|查找}{一个|}$entity的$attribute。', { entity: entity.zh, attribute: wanted.zh })
      : phrase(random, '{Get|Find|Look up|Returns} the $attribute of {a|the} $entity.', {
          entity: entity.name,
          attribute: wanted.en,
        }).replace(/\ba (?=[aeiou])/, 'an ');
  return { ...finishTool(random, name, description, [{ name: parameter, type: 'string' }]), key };
}

/** A tool that returns a whole record of an entity. */
export function recordTool(random: Random, entity: Entity, language: Language): Tool {
  const parameter = pickKey(random, entity.parameters);
  const verb = random.pick(lookupVerbs.split('|'));
  const name = random.pick([
    `${verb}_${entity.name}`,
    `${entity.name}_info`,
    `${verb}_${entity.name}_info`,
    `${entity.name}_details`,
  ]);
  const description =
    language === 'zh' && random.chance(0.6)
      ? phrase(random, '{查询|获取}$entity的{信息|资料|详情}。', { entity: entity.zh })
      : phrase(random, '{Get|Find|Look up|Returns} {the details of|information about|all about} {the|one} $entity.', {
          entity: entity.name,
        });
  return finishTool(random, name, description, [{ name: parameter, type: 'string' }]);
}

export function actionTool(random: Random, action: Action, language: Language): Tool {
  const verb = random.pick(action.verbs.split('|'));
  const noun = random.pick(action.noun.split('|'));
  const taken = new Set<string>();
  const parameters = action.parameters.map(({ keys, type }) => {
    const free = keys.split('|').filter((key) => !taken.has(key));
    const name = random.chance(0.4) ? free[0]! : random.pick(free);
    taken.add(name);
    return { name, type };
  });
  const description = language === 'zh' && random.chance(0.6) ? `${action.zh}。` : phrase(random, action.description);
  return finishTool(random, noun === '' ? verb : `${verb}_${noun}`, description, parameters);
}

/** Parameters that a tool may also take and nobody needs. */
const optionalParameters: readonly (readonly [string, JsonValue])[] = [
  ['limit', { type: 'integer' }],
  ['format', { type: 'string', enum: ['short', 'long'] }],
  ['language', { type: 'string', enum: ['en', 'zh'] }],
  ['verbose', { type: 'boolean' }],
  ['unit', { type: 'string' }],
];

function finishTool(
  random: Random,
  name: string,
  description: string,
  parameters: readonly { readonly name: string; readonly type: string }[],
): Tool {
  const camel = random.chance(0.2);
  const spell = (text: string): string =>
    camel ? text.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) : text;
  const names = parameters.map((parameter) => spell(parameter.name));
  const isDescribed = random.chance(0.12);
  const properties: Record<string, JsonValue> = {};
  for (const [i, { name: plain, type }] of parameters.entries()) {
    properties[names[i]!] =
      isDescribed && plain.length > 3 ? { type, description: `The ${plain.replaceAll('_', ' ')}.` } : { type };
  }
  if (random.chance(0.1)) {
    const [extra, schema] = random.pick(optionalParameters);
    properties[extra] ??= schema;
  }
  return {
    schema: { name: spell(name), description, parameters: { type: 'object', properties, required: names } },
    parameters: names,
  };
}

function pickKey(random: Random, keys: string): string {
  const all = keys.split('|');
  return random.chance(0.4) ? all[0]! : random.pick(all);
}
