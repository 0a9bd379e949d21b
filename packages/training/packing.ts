// Documents packed into steps.
//
// Owns the order in which a run sees its documents and how they share a row of tokens. A stream is a pure function from
// an index to a document, so the whole state of the data is the index of the next one, and a resumed run goes on exactly
// where the killed one stopped. Knows neither tasks nor tensors.

/** Tokens of one document, and for each the weight of the loss of predicting it (the first token's is never used). */
export interface TrainingDocument {
  readonly tokens: readonly number[];
  readonly weights: readonly number[];
}

/** Tokens of a job's forward and backward pass; a longer document has a row of its own. */
export const jobRowTokens = 4096;

export type DocumentStream = (index: number) => TrainingDocument;

/** Whole documents, one after another; each attends to itself only. */
export interface PackedRow {
  readonly documents: readonly TrainingDocument[];
  readonly tokens: number;
}

export interface PackedStep {
  /** One forward and backward pass each; their gradients are added. */
  readonly rows: readonly PackedRow[];
  readonly tokens: number;
  /** Index of the first document of the next step. */
  readonly next: number;
}

/**
 * Fills `rowCount` rows of at most `rowTokens` tokens, in stream order. A document that does not fit opens the next row
 * or the next step; one longer than a row is cut.
 */
export function packStep(stream: DocumentStream, first: number, rowCount: number, rowTokens: number): PackedStep {
  let next = first;
  const rows: PackedRow[] = [];
  while (rows.length < rowCount) {
    const documents: TrainingDocument[] = [];
    let tokens = 0;
    for (;;) {
      const document = cut(stream(next), rowTokens);
      if (tokens + document.tokens.length > rowTokens) break;
      next++;
      // A single token predicts nothing.
      if (document.tokens.length < 2) continue;
      documents.push(document);
      tokens += document.tokens.length;
    }
    rows.push({ documents, tokens });
  }
  return { rows, tokens: tokenCount(rows), next };
}

/** Of all their documents, learned or read. */
export function tokenCount(rows: readonly PackedRow[]): number {
  return rows.reduce((sum, { tokens }) => sum + tokens, 0);
}

function cut(document: TrainingDocument, limit: number): TrainingDocument {
  if (document.tokens.length <= limit) return document;
  return { tokens: document.tokens.slice(0, limit), weights: document.weights.slice(0, limit) };
}

/** What a model is asked at one row: next tokens and their weights, `ahead` tokens on. */
export interface Targets {
  /** Rows that have a target of weight above 0, ascending. */
  readonly rows: Int32Array;
  readonly tokens: Int32Array;
  readonly weights: Float32Array;
}

/** The token `ahead` places on from each token of its own document; `ahead` 1 is the language model's own target. */
export function targets(row: PackedRow, ahead: number): Targets {
  const rows: number[] = [];
  const tokens: number[] = [];
  const weights: number[] = [];
  let start = 0;
  for (const document of row.documents) {
    for (let i = 0; i + ahead < document.tokens.length; i++) {
      const weight = document.weights[i + ahead] as number;
      if (weight === 0) continue;
      rows.push(start + i);
      tokens.push(document.tokens[i + ahead] as number);
      weights.push(weight);
    }
    start += document.tokens.length;
  }
  return { rows: Int32Array.from(rows), tokens: Int32Array.from(tokens), weights: Float32Array.from(weights) };
}

/** `values` of the targets of a row, document by document. */
export function splitTargets(row: PackedRow, values: Float32Array): Float32Array[] {
  let begin = 0;
  return row.documents.map(({ weights }) => {
    const count = weights.reduce((sum, weight, i) => sum + (i > 0 && weight !== 0 ? 1 : 0), 0);
    begin += count;
    return values.slice(begin - count, begin);
  });
}

/**
 * Rows of at most `rowTokens` tokens that hold all documents, whole and in order; one longer than that has a row of its own.
 * `places[row][d]`: the index of each row's documents.
 */
export function packDocuments(
  documents: readonly TrainingDocument[],
  rowTokens: number,
): { readonly rows: PackedRow[]; readonly places: number[][] } {
  const rows: { documents: TrainingDocument[]; tokens: number }[] = [];
  const places: number[][] = [];
  for (const [index, document] of documents.entries()) {
    let row = rows.at(-1);
    if (!row || row.tokens + document.tokens.length > rowTokens) {
      row = { documents: [], tokens: 0 };
      rows.push(row);
      places.push([]);
    }
    row.documents.push(document);
    row.tokens += document.tokens.length;
    places.at(-1)?.push(index);
  }
  return { rows, places };
}

/** All tokens of a row, and for each the one that follows it in its document (0 after the last). */
export function tokensOf(row: PackedRow): { ids: Int32Array; following: Int32Array; lengths: number[] } {
  const lengths = row.documents.map((document) => document.tokens.length);
  const total = lengths.reduce((sum, n) => sum + n, 0);
  const [ids, following] = [new Int32Array(total), new Int32Array(total)];
  let start = 0;
  for (const { tokens } of row.documents) {
    ids.set(tokens, start);
    following.set(tokens.slice(1), start);
    start += tokens.length;
  }
  return { ids, following, lengths };
}
