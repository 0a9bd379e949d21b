// A policy that stays where it is while another one is trained.
//
// Gives the log-probabilities of tokens under weights that do not move: what divergences and preferences are measured against.
// Has the trainer's bits, so against itself every ratio is 1. Knows nothing of where the weights lie.

import type { Device } from '@hadal/kernels/device';
import type { ModelDefinition, Network } from '@hadal/models/architecture';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import type { WeightSource } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { type PackedRow, splitTargets, targets, tokensOf } from './packing.ts';

export class ReferencePolicy implements Disposable {
  readonly #device: Device;
  readonly #network: Network;
  readonly #arena: Arena;

  /** `weights` must outlive it. */
  constructor(device: Device, definition: ModelDefinition, positions: number, weights: WeightSource) {
    this.#device = device;
    this.#arena = new Arena(device.memory);
    this.#network = definition.assemble(weights, { form: definition.forms[0], positions, predictor: 'absent' });
  }

  /** Log-probabilities of the supervised tokens of each document of `row`, in nats. */
  logprobs(row: PackedRow): Float32Array[] {
    this.#arena.reset();
    const { head, forward } = this.#network;
    const graph = new Graph(this.#device, this.#arena, 'inference');
    const { ids, lengths } = tokensOf(row);
    const documents = new PackedDocuments(this.#arena, lengths);
    const hidden = forward(graph, this.#arena.integers(ids), documents.positions, documents);
    const { rows, tokens, weights } = targets(row, 1);
    const logprobs = new Float32Array(rows.length);
    if (rows.length > 0) {
      const chosen = graph.embedding(hidden, this.#arena.integers(rows));
      const [ids, scale] = [this.#arena.integers(tokens), this.#arena.floats(weights)];
      const nll = graph.linearCrossEntropy(chosen, head, ids, scale);
      graph.run();
      this.#device.memory.read(nll, logprobs);
    }
    return splitTargets(
      row,
      logprobs.map((value) => -value),
    );
  }

  [Symbol.dispose](): void {
    this.#arena[Symbol.dispose]();
  }
}
