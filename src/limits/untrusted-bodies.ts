import { type BodyBudget, type ByteBudget, MAX_UNTRUSTED_CONNECTION_BYTES } from "./body-budget.ts";
import { StreamError } from "../core/errors.ts";
import { RETRY_AFTER_MS } from "./refusals.ts";

/** The part of the budget that bodies of callers that are not trusted may hold: 1 of 4. */
const SHARE = 4;
/** When a call whose body was refused may be made again, in milliseconds. */
const RETRY_MS = 1000;

/**
 * Opens an account for one body of a caller that is not trusted.
 *
 * @param cut Called at most once, with the refusal, when the body has to make room for others.
 */
export type OpenAccount = (cut: (refusal: StreamError) => void) => ByteBudget;

/**
 * The share of the budget that bodies of callers that are not trusted hold, so that they cannot keep
 * trusted callers out. A connection may hold a part of it. When the share is full, the connection that
 * holds most loses its oldest body: whoever fills the share displaces its own bodies, and newcomers
 * are served. Each step costs the same, however many bodies and connections there are.
 */
export class UntrustedBodies {
  readonly #budget: BodyBudget;
  readonly #maxBytes: number;
  readonly #maxConnectionBytes: number;
  readonly #holders = new Map<object, Holder>();
  /** Holders by the number of binary digits of their bytes: those of the last set hold most, within a factor of two. */
  readonly #bySize: Set<Holder>[] = Array.from({ length: 33 }, () => new Set());
  #heldBytes = 0;

  constructor(budget: BodyBudget) {
    this.#budget = budget;
    this.#maxBytes = Math.floor(budget.maxBytes / SHARE);
    this.#maxConnectionBytes = Math.min(MAX_UNTRUSTED_CONNECTION_BYTES, this.#maxBytes);
  }

  /** Opens an account for one body. @param connection The same object for all bodies of a connection. */
  open(connection: object, cut: (refusal: StreamError) => void): ByteBudget {
    const account = { heldBytes: 0, isCut: false, cut };
    return {
      take: (bytes) => this.#take(connection, account, bytes),
      give: (bytes) => this.#give(connection, account, bytes),
    };
  }

  #take(connection: object, account: Account, bytes: number): void {
    if (account.isCut) throw makesRoom();
    const onConnection = this.#holders.get(connection)?.heldBytes ?? 0;
    if (onConnection + bytes > this.#maxConnectionBytes) throw tooManyOnConnection();
    while (this.#heldBytes + bytes > this.#maxBytes) {
      this.#cutOldestOfLargest();
      if (account.isCut) throw makesRoom();
    }
    this.#budget.take(bytes);
    this.#add(connection, account, bytes);
  }

  #give(connection: object, account: Account, bytes: number): void {
    // What a body held that was cut is given back already.
    if (account.isCut) return;
    this.#add(connection, account, -bytes);
    this.#budget.give(bytes);
  }

  #add(connection: object, account: Account, bytes: number): void {
    if (bytes === 0) return;
    let holder = this.#holders.get(connection);
    if (holder === undefined) {
      holder = { connection, heldBytes: 0, accounts: new Set() };
      this.#holders.set(connection, holder);
    }
    this.#heldBytes += bytes;
    account.heldBytes += bytes;
    if (account.heldBytes > 0) holder.accounts.add(account);
    else holder.accounts.delete(account);
    this.#bySize[digitsOf(holder.heldBytes)]?.delete(holder);
    holder.heldBytes += bytes;
    if (holder.accounts.size === 0) this.#holders.delete(connection);
    else this.#bySize[digitsOf(holder.heldBytes)]?.add(holder);
  }

  #cutOldestOfLargest(): void {
    const [holder] = this.#bySize.findLast((holders) => holders.size > 0) ?? [];
    const [account] = holder?.accounts ?? [];
    if (holder === undefined || account === undefined) throw makesRoom();
    const { heldBytes } = account;
    this.#give(holder.connection, account, heldBytes);
    account.isCut = true;
    account.cut(makesRoom());
  }
}

/** What one body holds. */
interface Account {
  heldBytes: number;
  isCut: boolean;
  readonly cut: (refusal: StreamError) => void;
}

/** What the bodies of one connection hold. */
interface Holder {
  readonly connection: object;
  heldBytes: number;
  /** Those that hold bytes, oldest first. */
  readonly accounts: Set<Account>;
}

function digitsOf(bytes: number): number {
  return 32 - Math.clz32(bytes);
}

function makesRoom(): StreamError {
  return overloaded("The request arrived too slowly while the service has no room for more");
}

function tooManyOnConnection(): StreamError {
  return overloaded("The connection has as many bytes of unfinished requests as it may");
}

function overloaded(problem: string): StreamError {
  return new StreamError("OVERLOADED", `${problem}; the call may be made again in a moment.`, {
    metadata: { [RETRY_AFTER_MS]: String(RETRY_MS) },
  });
}
