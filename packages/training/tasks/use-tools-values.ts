// The values that tools take and give.
//
// Owns how a number, a name, a time or an address is drawn. Knows nothing about tools.
import type { JsonValue } from '@hadal/formats/chat/message';
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import { people, places, things } from './vocabulary.ts';

export type Draw = (random: Random, language: Language) => JsonValue;

export const integer =
  (min: number, max: number): Draw =>
  (random) =>
    random.integer(min, max);

export const amount: Draw = (random) =>
  random.chance(0.5) ? random.integer(2, 999) : random.integer(101, 99999) / 100;

export const oneOf =
  (en: string, zh: string): Draw =>
  (random, language) =>
    random.pick((language === 'zh' ? zh : en).split('|'));

export const person = (random: Random, language: Language): string => random.pick<string>(people[language]);

export const place = (random: Random, language: Language): string => random.pick<string>(places[language]);

export const thing = (random: Random, language: Language): string => {
  const picked = random.pick(things);
  return language === 'zh' ? picked.zh : picked.one;
};

export const code = (random: Random): string => `${random.pick([...'ABCDEFGHKLMNPRSTVWX'])}${random.integer(10, 999)}`;

export const time = (random: Random): string =>
  `${random.integer(6, 22)}:${random.pick(['00', '15', '30', '45', '10', '20', '05', '50'])}`;

export const email = (random: Random): string =>
  `${random.pick<string>(people.en).toLowerCase()}${random.pick(['', '', random.integer(1, 99)])}@${random.pick(['mail', 'example', 'post', 'firm'])}.${random.pick(['com', 'org', 'net'])}`;

export const phone = (random: Random): string => `${random.integer(100, 999)}-${random.integer(1000, 9999)}`;

export const topic = oneOf(
  'budget|hiring|marketing|sales|security|training|design|planning|support|research',
  '预算|招聘|市场|销售|安全|培训|设计|规划|客服|研发',
);
