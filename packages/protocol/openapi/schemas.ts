// From zod schemas to those of an OpenAPI document.
//
// Owns which schemas have a name, and so stand in the document once: all bodies and answers, and the parts that readers look for.
// Knows nothing of OpenAPI's paths. Requests are described as they may come in: what may be left out is optional.

import { z } from 'zod';
import { anthropicBlock } from '../anthropic-messages-request.ts';
import { chatMessage, chatTool } from '../chat-completions-request.ts';
import { responseItem } from '../responses-request.ts';
import * as answers from './answers.ts';
import type { OperationNotes } from './operations.ts';

const parts = { chatMessage, chatTool, responseInputItem: responseItem, messageBlock: anthropicBlock };

export interface NamedSchemas {
  readonly components: Readonly<Record<string, object>>;
  /** A reference where it has a name, else the whole of it. */
  of(schema: z.ZodType): object;
}

/** A schema that several operations share is named after the first. */
export function namedSchemas(operations: Readonly<Record<string, OperationNotes>>): NamedSchemas {
  const registry = z.registry<{ id: string }>();
  const name = (schema: z.ZodType, camelCase: string) => {
    const id = camelCase.charAt(0).toUpperCase() + camelCase.slice(1);
    if (!registry.has(schema)) registry.add(schema, { id });
  };
  for (const [id, schema] of Object.entries({ ...parts, ...answers })) name(schema, id);
  for (const [id, { body, answer, events }] of Object.entries(operations)) {
    if (body) name(body.schema, `${id}Request`);
    if (answer) name(answer.schema, `${id}Answer`);
    if (events) name(events.schema, `${id}Event`);
  }
  const { schemas } = z.toJSONSchema(registry, { ...options, uri: reference });
  return {
    components: Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, bare(schema)])),
    of(schema) {
      const named = registry.get(schema);
      return named ? { $ref: reference(named.id) } : bare(z.toJSONSchema(schema, options));
    },
  };
}

function reference(id: string): string {
  return `#/components/schemas/${id}`;
}

const options = {
  io: 'input',
  // Checks of our own are described by their metadata.
  unrepresentable: 'any',
  override({ zodSchema, jsonSchema }) {
    // What a mistake becomes is no default.
    if (zodSchema._zod.def.type === 'catch') delete jsonSchema.default;
    // Bounds that every number of JSON has.
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  },
} as const satisfies z.core.ToJSONSchemaParams;

/** Without what only a document of its own needs. */
function bare({ $schema: _, $id: __, ...schema }: z.core.JSONSchema.BaseSchema): object {
  return schema;
}
