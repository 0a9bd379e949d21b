// Who calls, what they may do, and what it costs them.
//
// Owns authentication, the scope of a key, its rates, and the usage row of every answered call. Until the first key is made
// anybody may call, and all is the default organization's. Knows no routes and no HTTP: it is given a key and gives back an
// account, by which a call is admitted and charged.

import type { Usage } from '@hadal/protocol/chat-event';
import { requestError } from '@hadal/protocol/request-error';
import type { OperationId } from '@hadal/protocol/routes';
import { type StoredKey, unboundedScope } from '@hadal/store/keys';
import type { Store } from '@hadal/store/store';
import { costOf, type PriceList } from './prices.ts';
import { RateLimits } from './rate-limits.ts';

export interface AccountsOptions {
  readonly store: Pick<Store, 'keys' | 'ledger'>;
  /** As they are at the moment. */
  readonly prices: () => PriceList;
  readonly now: () => number;
  /** Hears of what went wrong and nobody was told. */
  readonly onError: (error: unknown) => void;
}

/** What was answered. */
export interface Answered {
  /** The same for the same call, however often it is tried. */
  readonly id: string;
  readonly model: string;
  readonly operation: string;
  readonly user: string;
  readonly finishReason: string;
  readonly usage: Usage;
  readonly isBatch: boolean;
  /** Where it ended earlier than it could be charged; now when absent. */
  readonly endedMs?: number;
}

export interface Account {
  /** Whose it is: an organization's id. */
  readonly owner: string;
  /** undefined: the server has no keys. */
  readonly key: StoredKey | undefined;
  /** Throws `RequestError` where the key is not for this model. */
  checkModel(model: string): void;
  /** Writes the call's row, once. */
  charge(answered: Answered): Promise<void>;
}

/** One call that was let in; disposing tells that it is over. */
export interface Admission extends Disposable {
  readonly account: Account;
}

/** What viewers may not do: they look. */
const lookingMethods = new Set(['GET', 'HEAD']);

export class Accounts {
  readonly #options: AccountsOptions;
  readonly #limits: RateLimits;
  readonly #going = new Set<Promise<void>>();
  /** As it was last seen; undefined: never. */
  #hasKeys: boolean | undefined;

  constructor(options: AccountsOptions) {
    this.#options = options;
    this.#limits = new RateLimits(options.now);
  }

  /** Whether keys are asked for. Once they are they always will be. */
  async hasKeys(): Promise<boolean> {
    if (this.#hasKeys === true) return true;
    try {
      this.#hasKeys = await this.#options.store.keys.isAny();
    } catch (error) {
      // A store that is away for a while has no new keys either.
      if (this.#hasKeys === undefined) throw error;
      this.#options.onError(error);
    }
    return this.#hasKeys;
  }

  /**
   * Lets a call in. Throws `RequestError` for a key that is wrong, expired, revoked or not for this, for one whose rate is
   * used up, and where there is nothing to pay with.
   */
  async admit(secret: string | undefined, operation: OperationId, method: string): Promise<Admission> {
    if (!(await this.hasKeys())) return { account: this.#account(undefined), [Symbol.dispose]() {} };
    const key = await this.#keyOf(secret);
    const { scope, role } = key;
    if (scope.operations !== undefined && !scope.operations.includes(operation)) {
      throw requestError('not-permitted', { problem: `this key is not for ${operation}` });
    }
    if (role === 'viewer' && !lookingMethods.has(method)) {
      throw requestError('not-permitted', { problem: 'a viewer changes nothing and asks no model' });
    }
    if (method === 'POST') await this.#checkMoney(key);
    const release = this.#limits.enter(key.id, scope);
    return { account: this.#account(key), [Symbol.dispose]: release };
  }

  /** As they are now. */
  get prices(): PriceList {
    return this.#options.prices();
  }

  /** What must have ended before the store is closed: answers, until they are charged. */
  goOn(whole: Promise<void>, onError: (error: unknown) => void): void {
    const over = whole.catch(onError).finally(() => this.#going.delete(over));
    this.#going.add(over);
  }

  /** Resolves when nothing goes on any more, at the latest after `timeoutMs`. */
  async settled(timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      late.resolve();
    }, timeoutMs);
    // Others may have begun meanwhile.
    while (this.#going.size > 0 && !isLate) await Promise.race([Promise.all(this.#going), late.promise]);
    clearTimeout(timer);
  }

  /** The account of a key that was let in before, for what goes on without its caller. */
  async accountOf(owner: string, keyId: string | undefined): Promise<Account> {
    if (keyId === undefined) return this.#account(undefined, owner);
    const key = (await this.#options.store.keys.list(owner)).find(({ id }) => id === keyId);
    return this.#account(key, owner);
  }

  /**
   * The same for what is asked in its name now. Throws `RequestError` where the key has been revoked or has expired meanwhile, and where
   * there is nothing to pay with.
   */
  async readmit(owner: string, keyId: string | undefined): Promise<Account> {
    if (keyId === undefined) return this.#account(undefined, owner);
    const key = (await this.#options.store.keys.list(owner)).find(({ id }) => id === keyId);
    if (key === undefined || this.#isOver(key)) {
      throw requestError('not-permitted', { problem: 'the key in whose name this is asked is no longer valid' });
    }
    await this.#checkMoney(key);
    return this.#account(key);
  }

  #isOver({ revokedMs, expiresMs = Infinity }: StoredKey): boolean {
    return revokedMs !== undefined || expiresMs <= this.#options.now();
  }

  async #keyOf(secret: string | undefined): Promise<StoredKey> {
    const key = secret === undefined ? undefined : await this.#options.store.keys.find(secret);
    if (key === undefined || this.#isOver(key)) {
      throw requestError('wrong-key', { lastFour: (secret ?? '').slice(-4) });
    }
    return key;
  }

  async #checkMoney({ organization, scope, spent }: StoredKey): Promise<void> {
    if (scope.budget !== undefined && spent >= scope.budget) throw requestError('budget-spent');
    const { currency } = this.#options.prices();
    const balances = await this.#options.store.ledger.balances(organization);
    // Who was never given anything need not pay.
    const balance = balances.find((one) => one.currency === currency);
    if (balance && balance.granted + balance.toppedUp <= 0) throw requestError('insufficient-balance');
  }

  #account(key: StoredKey | undefined, owner = key?.organization ?? ''): Account {
    const { models } = key?.scope ?? unboundedScope;
    return {
      ...{ owner, key },
      checkModel(model) {
        if (models === undefined || models.includes(model)) return;
        throw requestError('not-permitted', { problem: `this key is not for the model ${model}` });
      },
      charge: async (answered) => {
        const { usage, model, isBatch, endedMs = this.#options.now() } = answered;
        const { prompt, cacheHit, completion, reasoning } = usage;
        const prices = this.#options.prices();
        if (key) this.#limits.spend(key.id, key.scope, prompt + completion);
        const recorded = this.#options.store.ledger.record({
          ...{ id: answered.id, endedMs, organization: owner, key: key?.id, user: answered.user },
          ...{ model, operation: answered.operation, finishReason: answered.finishReason },
          ...{ cacheHit, cacheMiss: prompt - cacheHit, completion, reasoning },
          ...{ cost: costOf(prices, { model, usage, endedMs, isBatch }), currency: prices.currency },
        });
        // Without keys nobody pays, and nobody's answer is worth less for a row that could not be written.
        await (key === undefined ? recorded.catch(this.#options.onError) : recorded);
      },
    };
  }
}

/** What caches and turns are kept apart by: organizations never share any, and within one its users do not. */
export function namespaceOf({ owner }: Account, user: string): string {
  return owner === '' ? user : `${owner}\n${user}`;
}

/** The key in the headers of a call, as DeepSeek's and OpenAI's clients send it or as Anthropic's do. */
export function secretIn(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): string | undefined {
  const { authorization, 'x-api-key': apiKey } = headers;
  const [, bearer] = /^Bearer\s+(\S+)$/i.exec(String(authorization ?? '')) ?? [];
  return bearer ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : undefined);
}
