// `/docs`: the reference of the API, to be read and tried in a browser.
//
// Owns the page and what it loads, all of it from this server: Swagger UI's files and a few lines that start it with the description
// at `/openapi.json`. The policy that is sent along holds the browser to that. Knows nothing of the API itself.

import { createReadStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';

// Paths are relative, so that the page also works behind a proxy that adds a prefix.
const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Hadal: reference of the API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="docs/swagger-ui.css">
    <script src="docs/swagger-ui-bundle.js" defer></script>
    <script src="docs/start.js" defer></script>
  </head>
  <body><main id="reference"></main></body>
</html>
`;

// The validator, unless it is turned off, is asked at an address of Swagger's.
const start = `SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#reference',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
`;

/** Nothing from elsewhere, and no script but those above. Swagger UI has its icons in data: URLs. */
const policy = [
  "default-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const files = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
} as const;

export function serveReferencePage(app: FastifyInstance): void {
  // As people type it.
  app.get('/docs/', (_request, reply) => reply.redirect('/docs', 308));
  app.get('/docs', (_request, reply) =>
    reply.headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy }).send(page),
  );
  app.get('/docs/start.js', (_request, reply) => reply.type('text/javascript; charset=utf-8').send(start));
  for (const [name, type] of Object.entries(files)) {
    const path = fileURLToPath(import.meta.resolve(`swagger-ui-dist/${name}`));
    app.get(`/docs/${name}`, (_request, reply) =>
      reply.headers({ 'content-type': type, 'cache-control': 'max-age=86400' }).send(createReadStream(path)),
    );
  }
}
