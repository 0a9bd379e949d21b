// The outcome "this cannot be enforced", on its way out of the depths of a compiler.
//
// Owns the exception that carries a reason and, once the place is known, a JSON pointer (RFC 6901) into the schema. It
// never leaves `compileConstraint`, which turns it into a value.

export class Refusal extends Error {
  readonly reason: string;
  /** undefined: thrown by a part that does not know of schemas. */
  readonly pointer: string | undefined;
  /** The tool whose parameters the pointer leads into. */
  readonly tool: string | undefined;

  constructor(reason: string, pointer?: string, tool?: string) {
    super(`${tool === undefined ? '' : `${tool}: `}${pointer ?? '?'}: ${reason}`);
    this.reason = reason;
    this.pointer = pointer;
    this.tool = tool;
  }
}

/** Runs `work`; a refusal that does not say where gets `pointer`. */
export function refusingAt<T>(pointer: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refusal && error.pointer === undefined) throw new Refusal(error.reason, pointer);
    throw error;
  }
}

/** Runs `work`; a refusal is about this tool's parameters. */
export function refusingFor<T>(tool: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refusal) throw new Refusal(error.reason, error.pointer ?? '', tool);
    throw error;
  }
}
