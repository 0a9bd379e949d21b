// The chat template that a checkpoint brings along, in Jinja.
//
// Owns where the template and the tokens it uses stand in a checkpoint's files, and how a template is run. Knows nothing
// of what templates say. A template that cannot be run is refused in one line when it is opened, not at the first request.

import { Template } from '@huggingface/jinja';
import type { JsonDocument } from '../json-document.ts';

export interface ChatTemplate {
  /** Where it stands, for errors. */
  readonly where: string;
  readonly source: string;
  /** For conversations with tools, where the checkpoint has a template of its own for them. */
  readonly toolSource: string | undefined;
  /** Empty where the tokenizer has none. */
  readonly bosToken: string;
  readonly eosToken: string;
  /** Whether a prompt begins with the begin token even if the template leaves it out. */
  readonly addsBos: boolean;
}

/**
 * The template of `tokenizer_config.json`, or undefined where there is none. `file`, a `chat_template.jinja`, goes before
 * what the configuration has under `chat_template`: one template, or a list of named ones.
 */
export function findChatTemplate(config: JsonDocument | undefined, file?: ChatTemplateFile): ChatTemplate | undefined {
  const json = (config?.value ?? {}) as Record<string, unknown>;
  const tokens = {
    bosToken: tokenText(json.bos_token),
    eosToken: tokenText(json.eos_token),
    addsBos: json.add_bos_token === true,
  };
  if (file !== undefined) return { ...tokens, where: file.path, source: file.source, toolSource: undefined };
  if (config === undefined || json.chat_template == null) return undefined;
  const where = `${config.path}: chat_template`;
  const templates = namedTemplates(json.chat_template, where);
  const source = templates.get('default');
  if (source === undefined) {
    throw new Error(`${where}: expected a template named default, found ${[...templates.keys()].join(', ') || 'none'}`);
  }
  return { ...tokens, where, source, toolSource: templates.get('tool_use') };
}

export interface ChatTemplateFile {
  readonly path: string;
  readonly source: string;
}

/** A template cannot show what it was given, or says that it must not. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  /** In the template's words, or its interpreter's; `message` also says which template. */
  readonly reason: string;

  constructor(reason: string, where: string) {
    super(notRun(where, reason));
    this.reason = reason;
  }
}

/** Runs a template over its variables; throws `TemplateError`, one line, where the template does. */
export type RenderTemplate = (variables: Record<string, unknown>) => string;

/** Throws one line where `source` is no template. */
export function compileTemplate(source: string, where: string): RenderTemplate {
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw new Error(notRun(where, reasonOf(error)));
  }
  return (variables) => {
    try {
      return template.render(variables);
    } catch (error) {
      throw new TemplateError(reasonOf(error), where);
    }
  };
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ');
}

function notRun(where: string, reason: string): string {
  return `${where}: expected a Jinja template that we can run, ${reason}`;
}

function namedTemplates(value: unknown, where: string): Map<string, string> {
  if (typeof value === 'string') return new Map([['default', value]]);
  const named = Array.isArray(value) ? value : [];
  const entries = named.map((item: unknown): [string, string] => {
    const { name, template } = (item ?? {}) as Record<string, unknown>;
    if (typeof name === 'string' && typeof template === 'string') return [name, template];
    throw new Error(`${where}: expected items with name and template, found ${JSON.stringify(item)?.slice(0, 60)}`);
  });
  if (entries.length > 0) return new Map(entries);
  throw new Error(
    `${where}: expected a template or a list of named ones, found ${JSON.stringify(value)?.slice(0, 60)}`,
  );
}

/** A token as tokenizer_config.json has it: its text, or an object that holds it. */
function tokenText(token: unknown): string {
  if (typeof token === 'string') return token;
  const { content } = (token ?? {}) as { content?: unknown };
  return typeof content === 'string' ? content : '';
}
