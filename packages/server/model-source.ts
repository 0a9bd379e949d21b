// Which models answer whom.
//
// Owns that everybody is answered by the models that the server was given, which may be others from one moment to the next, and
// an organization also by those that were made for it. Who is asked is decided once for each call; what is under way goes on.

import { type Provider, patientProvider } from './provider.ts';

export interface Models {
  /** Whose calls may ask these, in the order in which they are shown. */
  of(owner: string): readonly Provider[];
  /** Those that are everybody's. */
  readonly shared: readonly Provider[];
}

export class ModelSource implements Models {
  #shared: readonly Provider[];
  readonly #own: (owner: string) => readonly Provider[];

  constructor(shared: readonly Provider[], own: (owner: string) => readonly Provider[] = () => []) {
    this.#shared = shared;
    this.#own = own;
  }

  get shared(): readonly Provider[] {
    return this.#shared;
  }

  of(owner: string): readonly Provider[] {
    const own = this.#own(owner);
    return own.length === 0 ? this.#shared : [...this.#shared, ...own];
  }

  replaceShared(shared: readonly Provider[]): void {
    this.#shared = shared;
  }
}

/** The same, for requests that may wait. */
export function patientModels(models: Models): Models {
  return {
    of: (owner) => models.of(owner).map(patientProvider),
    get shared() {
      return models.shared.map(patientProvider);
    },
  };
}
