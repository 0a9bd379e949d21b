// Why a job cannot go on, where that is nobody's bug.

export class JobFailure extends Error {
  override readonly name = 'JobFailure';
  readonly code: string;
  /** The field of the request to blame, if any. */
  readonly param: string | null;

  constructor(code: string, message: string, param: string | null = null) {
    super(message);
    this.code = code;
    this.param = param;
  }
}
