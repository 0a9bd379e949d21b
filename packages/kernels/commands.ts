// The command buffer: what JavaScript asks of the kernels.
//
// Owns the recording of commands into one Float64Array and their execution in one native call; the layout's other half is
// native/executor.h. Knows no kernel beyond its signature in operations.ts. Invariant: a command is in the buffer whole or
// not at all, and `run` empties the buffer whether it succeeds or throws.

import type { Ref } from './memory.ts';
import { type OpName, operations } from './operations.ts';

interface Signature {
  readonly opcode: number;
  readonly slots: number;
  readonly argumentAtSlot: readonly string[];
}

export class Commands {
  /**
   * Whether `run` keeps to the calling thread. For small work, others are waited for longer than they help; results are the
   * same.
   */
  isAlone = false;
  readonly #execute: (commands: Float64Array, length: number, isAlone: boolean) => void;
  #buffer = new Float64Array(1 << 14);
  #committed = 0;
  #at = 0;
  #count = 0;
  #op: OpName = 'fill';
  #signature: Signature = signatures.fill;

  constructor(execute: (commands: Float64Array, length: number, isAlone: boolean) => void) {
    this.#execute = execute;
  }

  /** Commands recorded and not yet run. */
  get count(): number {
    return this.#count;
  }

  /** Starts a command; its arguments follow in the order of operations.ts, then `end`. */
  begin(op: OpName): void {
    const signature = signatures[op];
    this.#op = op;
    this.#signature = signature;
    this.#at = this.#committed;
    if (this.#at + signature.slots > this.#buffer.length) this.#grow();
    this.#buffer[this.#at++] = signature.opcode;
  }

  /** A tensor argument of which the kernel touches the first `need` elements. */
  tensor(ref: Ref, need: number): void {
    // The negated form also catches NaN.
    if (!(ref.length >= need)) this.#fail(`expected at least ${need} elements, the tensor has ${ref.length}`);
    const buffer = this.#buffer;
    const at = this.#at;
    buffer[at] = ref.handle;
    buffer[at + 1] = ref.offset;
    buffer[at + 2] = need;
    this.#at = at + 3;
  }

  /** A tensor argument that may be absent. */
  optionalTensor(ref: Ref | undefined, need: number): void {
    if (ref !== undefined) {
      this.tensor(ref, need);
    } else {
      this.#buffer.fill(0, this.#at, this.#at + 3);
      this.#at += 3;
    }
  }

  int(n: number): void {
    if (!Number.isSafeInteger(n)) this.#fail(`expected an integer, got ${n}`);
    this.#buffer[this.#at++] = n;
  }

  float(x: number): void {
    this.#buffer[this.#at++] = x;
  }

  end(): void {
    const written = this.#at - this.#committed;
    if (written !== this.#signature.slots) {
      throw new Error(`${this.#op}: expected ${operations[this.#op]}: ${this.#signature.slots} slots, got ${written}`);
    }
    this.#committed = this.#at;
    this.#count++;
  }

  /** Executes everything recorded, in order, then forgets it. An error names the kernel and the argument; nothing has run then. */
  run(): void {
    const length = this.#committed;
    this.#committed = 0;
    this.#count = 0;
    if (length > 0) this.#execute(this.#buffer, length, this.isAlone);
  }

  #grow(): void {
    const larger = new Float64Array(this.#buffer.length * 2);
    larger.set(this.#buffer);
    this.#buffer = larger;
  }

  #fail(why: string): never {
    const argument = this.#signature.argumentAtSlot[this.#at - this.#committed] ?? 'an argument too many';
    throw new Error(`${this.#op}: ${argument}: ${why}`);
  }
}

const signatures: Readonly<Record<OpName, Signature>> = parseSignatures();

function parseSignatures(): Record<OpName, Signature> {
  const parsed: Partial<Record<OpName, Signature>> = {};
  let opcode = 0;
  for (const op of Object.keys(operations) as OpName[]) {
    // Slot 0 is the opcode.
    const argumentAtSlot = [op as string];
    for (const word of operations[op].split(' ')) {
      const [name, kind] = word.split(':') as [string, string];
      const slots = kind === 'i' || kind === 'f' ? 1 : 3;
      for (let i = 0; i < slots; i++) argumentAtSlot.push(name);
    }
    parsed[op] = { opcode: opcode++, slots: argumentAtSlot.length, argumentAtSlot };
  }
  return parsed as Record<OpName, Signature>;
}
