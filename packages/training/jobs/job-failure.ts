// Why a job cannot go on, where that is nobody's bug.

/** There is nobody left to ask, for the server stops or is gone: the job is not over, and goes on when it is started again. */
export class JobStopped extends Error {
  override readonly name = 'JobStopped';

  constructor() {
    super('expected a server that answers, it is gone');
  }
}

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
