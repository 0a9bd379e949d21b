// The OpenAPI description of the whole API.
//
// Made of the table of routes, the notes on operations, the schemas that requests are checked by and the catalogue of errors; says
// nothing of its own but who made it. Knows no server. Every operation stands once, with its bases as servers.

import type { z } from 'zod';
import { errorEnvelope } from '../error-envelope.ts';
import { RequestError, type RequestErrorCode, requestErrors } from '../request-error.ts';
import { type OperationId, type Route, routes } from '../routes.ts';
import { bodyErrors, commonErrors, formErrors, type OperationNotes, operations, sendingErrors } from './operations.ts';
import { namedSchemas } from './schemas.ts';

export interface OpenApiDocument {
  readonly openapi: '3.1.1';
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly [member: string]: unknown;
}

export interface OpenApiOperation {
  readonly operationId: string;
  readonly servers: readonly { readonly url: string }[];
  readonly requestBody?: { readonly required: true; readonly content: Readonly<Record<string, MediaType>> };
  readonly responses: Readonly<Record<string, OpenApiResponse>>;
  readonly [member: string]: unknown;
}

export interface OpenApiResponse {
  readonly description: string;
  readonly content: Readonly<Record<string, MediaType>>;
}

export interface MediaType {
  readonly schema: object;
  readonly example?: unknown;
  readonly [member: string]: unknown;
}

export function openApiDocument(): OpenApiDocument {
  const schemas = namedSchemas(operations);
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const [id, route] of Object.entries(routes)) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    const methods = paths[path] ?? {};
    paths[path] = methods;
    const method = route.method.toLowerCase();
    if (methods[method]) throw new Error(`${id}: ${route.method} ${path} is ${methods[method].operationId} already`);
    methods[method] = operationOf(id as OperationId, route, schemas.of);
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Hadal',
      version: '1',
      description:
        'DeepSeek, OpenAI and Anthropic clients find their API here. Errors are described in `docs/errors.md`; ' +
        'each answer has a header `x-request-id`.',
    },
    servers: [{ url: '/' }],
    tags: [...new Set(Object.values(routes).map(({ tag }) => tag))].map((name) => ({ name })),
    security: [{ bearer: [] }, { apiKey: [] }, {}],
    paths,
    components: {
      schemas: schemas.components,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: "As DeepSeek's and OpenAI's clients send a key." },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: "As Anthropic's clients send it." },
      },
    },
  };
}

function operationOf(id: OperationId, route: Route, schemaOf: (schema: z.ZodType) => object): OpenApiOperation {
  const notes: OperationNotes = operations[id];
  const { description, body, answer, events } = notes;
  const media = (schema: z.ZodType) => ({ schema: schemaOf(schema) });
  return {
    ...{
      operationId: id,
      tags: [route.tag],
      summary: route.summary,
      ...(description !== undefined && { description }),
    },
    servers: route.bases.map((base) => ({ url: base === '' ? '/' : base })),
    parameters: [
      ...[...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
        ...{ name, in: 'path', required: true, description: notes.id ?? '', schema: { type: 'string' } },
      })),
      ...Object.entries(notes.query ?? {}).map(([name, query]) => ({
        ...{ name, in: 'query', description: query.description, schema: schemaOf(query.schema) },
      })),
    ],
    ...(body && {
      requestBody: {
        required: true,
        content: { [body.mediaType ?? 'application/json']: { ...media(body.schema), example: body.example } },
      },
    }),
    responses: {
      ...(answer && {
        200: {
          description:
            events === undefined ? answer.description : `${answer.description} As a stream: ${events.description}`,
          content: {
            [answer.mediaType ?? 'application/json']: media(answer.schema),
            ...(events && { 'text/event-stream': media(events.schema) }),
          },
        },
      }),
      ...errorResponses(errorsOf(route, notes), route.dialect),
    },
  };
}

/** Every error that an operation may answer with. */
export function errorsOf({ method }: Route, { body, errors }: OperationNotes): ReadonlySet<RequestErrorCode> {
  const read = body?.mediaType === 'multipart/form-data' ? formErrors : body ? bodyErrors : [];
  const own = [...read, ...errors];
  return new Set([...own, ...(method === 'GET' ? [] : sendingErrors), ...commonErrors]);
}

/** One response for each status, with an example of each error that has it: its words, details in braces. */
function errorResponses(codes: ReadonlySet<RequestErrorCode>, dialect: Route['dialect']) {
  const byStatus = Object.groupBy(codes, (code) => requestErrors[code].status);
  const responses = Object.entries(byStatus).map(([status, some = []]) => {
    const examples = some.map((code) => {
      const row = requestErrors[code];
      const parameter = 'parameter' in row ? row.parameter : undefined;
      return [code, { value: errorEnvelope(new RequestError(code, row.message, parameter), dialect) }];
    });
    const schema = { $ref: `#/components/schemas/${dialect === 'anthropic' ? 'AnthropicError' : 'Error'}` };
    return [
      status,
      {
        description: some.map((code) => `\`${code}\``).join(', '),
        content: { 'application/json': { schema, examples: Object.fromEntries(examples) } },
      },
    ] as const;
  });
  return Object.fromEntries(responses);
}
