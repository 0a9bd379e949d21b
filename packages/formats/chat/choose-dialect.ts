// Which dialect a checkpoint speaks.
//
// Owns the choice, made from what the checkpoint's files say. V3.2 and later were trained on texts that no template of
// theirs reproduces, so for these a template is never used, even where somebody has added one.

import type { JsonDocument } from '../json-document.ts';
import { dsml } from '../special-tokens.ts';
import type { ChatTemplate } from './chat-template.ts';
import { deepseekV4 } from './deepseek-v4.ts';
import { deepseekV32 } from './deepseek-v32.ts';
import { deepseekV41 } from './deepseek-v41.ts';
import type { ChatDialect } from './dialect.ts';
import { openJinjaDialect } from './jinja-dialect.ts';

/**
 * By `model_type`. V4.1 is known by it alone: its tokenizer has a token for system messages that V4's lacks, but so has every
 * tokenizer of our own trainer, whose models speak V4.
 */
const nativeDialects: Readonly<Record<string, ChatDialect>> = {
  deepseek_v32: deepseekV32,
  deepseek_v4: deepseekV4,
  deepseek_v41: deepseekV41,
};

export interface DialectSource {
  /** config.json. */
  readonly config: JsonDocument;
  readonly template: ChatTemplate | undefined;
  readonly tokenizer: { tokenId(token: string): number | undefined };
}

/** Throws one line where the checkpoint neither is of a family we know nor has a template. */
export function chooseDialect({ config, template, tokenizer }: DialectSource): ChatDialect {
  const { model_type: type } = (config.value ?? {}) as Record<string, unknown>;
  if (typeof type === 'string' && Object.hasOwn(nativeDialects, type)) return nativeDialects[type] as ChatDialect;
  if (template !== undefined) return openJinjaDialect(template);
  // What our own trainer makes: any architecture, with V4's tokens.
  if (tokenizer.tokenId(dsml) !== undefined) return deepseekV4;
  throw new Error(`${config.path}: expected a chat template beside it, found none (a base model cannot be talked to)`);
}
