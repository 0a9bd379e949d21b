// Stories that end in a question.
//
// Owns what a story is (numbers, telling, steps of arithmetic) and the scene that it is told in: people, a thing, words of
// one language. Knows nothing about what happens in a story, how a step is written out or how an answer is judged.
import { phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import { people, type Thing, things, women } from './vocabulary.ts';

export type Operand = number | { readonly step: number };

export interface Step {
  /** What the step is about, before its equation. */
  readonly cue: string;
  readonly operation: '+' | '-' | '*' | '/';
  readonly a: Operand;
  readonly b: Operand;
}

export interface Told {
  readonly text: string;
  readonly steps: readonly Step[];
  answer(result: number): string;
}

export interface Story {
  /** The kind of situation and its shape. */
  readonly situation: string;
  readonly numbers: readonly number[];
  tell(scene: Scene): Told;
}

/** Who and what a story is told about, and the words of its language. */
export interface Scene {
  readonly random: Random;
  readonly language: Language;
  readonly name: string;
  readonly other: string;
  readonly thing: Thing;
  /** Words of the story's language, expanded with the scene's own values and `values`. */
  say(wordings: Wordings, values?: Readonly<Record<string, string | number>>): string;
}

export type Wordings = Readonly<Record<Language, string>>;

export function tellStory(random: Random, story: Story, language: Language): Told {
  const [name, other] = random.sample<string>(people[language], 2);
  const thing = random.pick(things);
  const own = {
    n: name!,
    o: other!,
    t: language === 'zh' ? thing.zh : thing.many,
    one: thing.one,
    m: language === 'zh' ? thing.measure : '',
    he: women.has(name!) ? 'she' : 'he',
    He: women.has(name!) ? 'She' : 'He',
  };
  return story.tell({
    random,
    language,
    name: name!,
    other: other!,
    thing,
    say: (wordings, values = {}) => phrase(random, wordings[language], { ...own, ...values }),
  });
}

export const before = (step: number): Operand => ({ step });

export const changeCues = {
  gain: { en: '$x more', zh: '多$x' },
  lose: { en: '$x fewer', zh: '少$x' },
  double: { en: 'twice', zh: '2倍' },
  triple: { en: 'three times', zh: '3倍' },
} as const;

export const togetherCue: Wordings = { en: 'Together', zh: '一共' };

export function join(scene: Scene, sentences: readonly string[]): string {
  return sentences.join(scene.language === 'zh' ? '' : ' ');
}
