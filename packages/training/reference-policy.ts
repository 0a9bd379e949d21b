// A policy that stays where it is while another one is trained.
//
// Owns a copy of the weights and gives the log-probabilities of tokens under it: what divergences and preferences are measured
// against. Has the trainer's bits, so against itself every ratio is 1.

import type { StoredWeights } from '@hadal/formats/stored-weights';
import type { Device } from '@hadal/kernels/device';
import type { ModelDefinition, Network } from '@hadal/models/architecture';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { ParameterSet } from '@hadal/models/parameter-set';
import { collectSpecs, type WeightSource } from '@hadal/models/weight-source';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import { Tensor } from '@hadal/tensor/tensor';
import { type PackedRow, splitTargets, targets, tokensOf } from './packing.ts';

export class ReferencePolicy implements Disposable {
  readonly #device: Device;
  readonly #parameters: ParameterSet;
  readonly #network: Network;
  readonly #arena: Arena;

  constructor(device: Device, definition: ModelDefinition, positions: number) {
    this.#device = device;
    this.#arena = new Arena(device.memory);
    const options = { form: definition.forms[0], positions, predictor: 'absent' } as const;
    const assemble = (source: WeightSource) => definition.assemble(source, options);
    this.#parameters = new ParameterSet(device, collectSpecs(assemble), 'frozen');
    this.#network = assemble(this.#parameters);
  }

  load(weights: StoredWeights): void {
    this.#parameters.load(weights);
  }

  /** Becomes the policy that `parameters` are now. */
  become(parameters: ParameterSet): void {
    this.#parameters.copyFrom(parameters);
  }

  /** Log-probabilities of the supervised tokens of each document of `row`, in nats. */
  logprobs(row: PackedRow): Float32Array[] {
    this.#arena.reset();
    const { head, forward } = this.#network;
    if (!(head instanceof Tensor)) throw new Error('a parameter set holds plain tensors');
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
    this.#parameters[Symbol.dispose]();
    this.#arena[Symbol.dispose]();
  }
}
