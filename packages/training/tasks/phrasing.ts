// How people put a question.
//
// Owns the small template language that composes wordings from parts, and the greetings, fillers, casing and careless
// punctuation around them. Knows nothing about what is asked. Invariant: values placed in a template arrive unchanged
// unless the caller allows their case to vary.
import type { ChatMessage } from '@hadal/formats/chat/message';
import type { Random } from './random.ts';
import type { Language } from './task.ts';

/**
 * Expands a template: `{a|b|c}` picks one part (nested freely, empty parts allowed), `$name` places a value.
 * Values are placed after the parts are chosen, so they may hold any character.
 */
export function phrase(
  random: Random,
  template: string,
  values: Readonly<Record<string, string | number>> = {},
): string {
  return chooseParts(random, template).replace(/\$([a-zA-Z]+)/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`template: expected a value for $${name} in "${template}"`);
    return String(value);
  });
}

/** Expands the innermost braces first until none is left. */
function chooseParts(random: Random, template: string): string {
  let text = template;
  for (;;) {
    const next = text.replace(/\{([^{}]*)\}/g, (_, parts: string) => random.pick(parts.split('|')));
    if (next === text) break;
    text = next;
  }
  if (/[{|}]/.test(text)) throw new Error(`template: expected balanced braces around every choice in "${template}"`);
  // An empty part leaves its space behind.
  return text.replace(/(?<=\S) {2,}/g, ' ').replace(/(?<=[a-z]) (?=[?.!](?:\s|$))/g, '');
}

/** Whether dressing may turn the whole question to lower case: not when it quotes something whose case matters. */
export type Casing = 'free' | 'kept';

/** A question as it might be typed: sometimes greeted, sometimes hurried, sometimes without its punctuation. */
export function dress(random: Random, language: Language, question: string, casing: Casing = 'free'): string {
  let text = question;
  if (random.chance(0.15)) text = text.replace(/[?.!？。！]$/, '');
  if (language === 'zh') {
    if (random.chance(0.1)) text = text.replaceAll('？', '?').replaceAll('，', ',');
    if (random.chance(0.2)) text = phrase(random, zhOpenings) + text;
    else if (random.chance(0.08)) text += phrase(random, zhClosings);
    return text;
  }
  if (random.chance(0.2)) {
    const opening = phrase(random, enOpenings);
    text = /[,:] $/.test(opening) && casing === 'free' ? opening + lowerFirst(text) : opening + text;
  } else if (random.chance(0.08)) text += (/[?.!]$/.test(text) ? ' ' : '. ') + phrase(random, enClosings);
  if (casing === 'free' && random.chance(0.15)) text = text.toLowerCase();
  return text;
}

/** The messages that ask: the user's, sometimes after a system message of the usual kind. */
export function ask(random: Random, language: Language, question: string): ChatMessage[] {
  const system: ChatMessage[] = random.chance(0.08)
    ? [{ role: 'system', content: phrase(random, language === 'zh' ? zhSystems : enSystems) }]
    : [];
  return [...system, { role: 'user', content: question }];
}

const enSystems =
  '{You are a {helpful|friendly|careful|concise|polite} assistant.|You are {an|a small} AI assistant.|Answer {briefly|politely|in one sentence|the question}.|' +
  'You are hadal-nano.|Be {helpful|brief|polite|precise}.|Help the user.|You are a math tutor.}';
const zhSystems =
  '{你是一个{有用|友好|细心}的助手。|你是AI助手。|请{简短|礼貌地|准确地}回答。|你是hadal-nano。|帮助用户。|你是一位数学老师。}';

const enOpenings =
  '{Hi! |Hello! |Hey! |Hi, |Hello, |Hey, |Hi there! |Good morning! |Good evening! |Quick question: |One question: |' +
  'Please help me: |Can you help me? |Help me with this: |Tell me: |Please tell me: |I wonder: |Another one: |' +
  'Okay, |So, |Now: |Question: |Be honest: |My kid asks: |A friend asked me: |For my homework: |I need help. }';
const enClosings =
  '{Thanks!|Thank you!|Thank you.|Please explain.|Just the answer, please.|Please be brief.|I am curious.}';
const zhOpenings =
  '{你好，|你好！|您好，|嗨，|请问，|请问|请问一下，|麻烦问一下，|想问一下，|帮我看看：|帮个忙，|快问快答：|问题：|再问一个：|' +
  '早上好！|晚上好！|我想知道，|朋友问我：|作业题：|请帮帮我，}';
const zhClosings = '{谢谢！|谢谢|谢谢你。|请简短回答。|请告诉我。|麻烦了。}';

function lowerFirst(text: string): string {
  // "I" and names in capitals stay as they are.
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
