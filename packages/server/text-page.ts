// An answer that is plain text.

import type { FastifyReply } from 'fastify';

export interface TextContent {
  readonly contentType: string;
  readonly text: string;
}

export class TextPage {
  readonly #content: TextContent;

  constructor(content: TextContent) {
    this.#content = content;
  }

  send(reply: FastifyReply): FastifyReply {
    return reply.header('content-type', this.#content.contentType).send(this.#content.text);
  }
}
