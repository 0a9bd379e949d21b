// Every architecture there is, by `model_type`.
//
// Owns the choice: `model_type` decides, and a configuration without one is known by `architectures`. A new architecture
// is a file of its own and a row here.

import type { Architecture, ModelDefinition } from './architecture.ts';
import { deepseekV2 } from './deepseek-v2.ts';
import { deepseekV3 } from './deepseek-v3.ts';
import { deepseekV4 } from './deepseek-v4.ts';
import { deepseekV32 } from './deepseek-v32.ts';
import { llama } from './llama.ts';
import { qwen2 } from './qwen2.ts';

export const architectures: Readonly<Record<string, Architecture>> = {
  deepseek_v2: deepseekV2,
  deepseek_v3: deepseekV3,
  deepseek_v32: deepseekV32,
  deepseek_v4: deepseekV4,
  llama,
  qwen2,
};

/** Understands config.json, or throws one line that names `where` and, for a model we do not have, those we have. */
export function defineModel(json: unknown, where: string): ModelDefinition {
  const { model_type: type, architectures: classNames } = (json ?? {}) as Record<string, unknown>;
  const className = Array.isArray(classNames) ? classNames[0] : undefined;
  const architecture =
    type === undefined
      ? Object.values(architectures).find((row) => row.className === className)
      : Object.hasOwn(architectures, String(type)) && architectures[String(type)];
  if (architecture) return architecture.define(json, where);
  const found = type === undefined ? `no model_type and architectures ${JSON.stringify(classNames)}` : `"${type}"`;
  const supported = Object.keys(architectures).sort();
  throw new Error(`${where}: model_type: expected one of ${supported.join(', ')}; found ${found}`);
}
