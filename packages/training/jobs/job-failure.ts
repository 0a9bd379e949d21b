// Why a job cannot go on, where that is nobody's bug.

/** The job is to stop, or there is nobody left to ask, as the server is gone: it is not over, and goes on when it is started again. */
export class JobStopped extends Error {
  override readonly name = 'JobStopped';

  constructor() {
    super('the job stops where it is');
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
