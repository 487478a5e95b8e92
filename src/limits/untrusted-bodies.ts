import { type BodyBudget, type ByteBudget, MAX_UNTRUSTED_CONNECTION_BYTES } from "./body-budget.ts";
import { StreamError } from "../core/errors.ts";
import { RETRY_AFTER_MS } from "./refusals.ts";

/** Bodies of untrusted callers may hold one part in this many of the budget: a quarter. */
const SHARE = 4;
/** Time after which a call whose body was refused may retry, in milliseconds. */
const RETRY_MS = 1000;

/**
 * Opens an account for one body of an untrusted caller.
 *
 * @param cut Called at most once, with the refusal, when the body has to make room for others.
 */
export type OpenAccount = (cut: (refusal: StreamError) => void) => ByteBudget;

/**
 * The share of the budget for bodies of untrusted callers, so that they cannot keep trusted callers
 * out. A connection may hold a part of it. When the share is full, the connection that holds the
 * most loses its oldest body: a connection that fills the share displaces its own bodies, and
 * newcomers are served. Each step costs the same, however many bodies and connections there are.
 */
export class UntrustedBodies {
  readonly #budget: BodyBudget;
  readonly #maxBytes: number;
  readonly #maxConnectionBytes: number;
  readonly #holders = new Map<object, Holder>();
  /**
   * Holders, by the bit length of their number of bytes: those of the last set that is not empty
   * hold the most, within a factor of two.
   */
  readonly #bySize: Set<Holder>[] = Array.from({ length: 33 }, () => new Set());
  #heldBytes = 0;

  constructor(budget: BodyBudget) {
    this.#budget = budget;
    this.#maxBytes = Math.floor(budget.maxBytes / SHARE);
    this.#maxConnectionBytes = Math.min(MAX_UNTRUSTED_CONNECTION_BYTES, this.#maxBytes);
  }

  /**
   * Opens an account for one body.
   *
   * @param connection The same object for all bodies of a connection.
   * @param maxConnectionBytes Most bytes of bodies on the connection. Default: as for calls.
   */
  open(
    connection: object,
    cut: (refusal: StreamError) => void,
    maxConnectionBytes = this.#maxConnectionBytes,
  ): ByteBudget {
    const account = { heldBytes: 0, isCut: false, cut };
    return {
      take: (bytes) => this.#take(connection, account, bytes, maxConnectionBytes),
      give: (bytes) => this.#give(connection, account, bytes),
    };
  }

  #take(connection: object, account: Account, bytes: number, maxConnectionBytes: number): void {
    if (account.isCut) throw displaced();
    const onConnection = this.#holders.get(connection)?.heldBytes ?? 0;
    if (onConnection + bytes > maxConnectionBytes) throw tooManyOnConnection();
    while (this.#heldBytes + bytes > this.#maxBytes) {
      this.#cutOldestOfLargest();
      if (account.isCut) throw displaced();
    }
    this.#budget.take(bytes);
    this.#add(connection, account, bytes);
  }

  #give(connection: object, account: Account, bytes: number): void {
    // The bytes of a cut body have been given back already.
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
    this.#bySize[bitLengthOf(holder.heldBytes)]?.delete(holder);
    holder.heldBytes += bytes;
    if (holder.accounts.size === 0) this.#holders.delete(connection);
    else this.#bySize[bitLengthOf(holder.heldBytes)]?.add(holder);
  }

  #cutOldestOfLargest(): void {
    const [holder] = this.#bySize.findLast((holders) => holders.size > 0) ?? [];
    const [account] = holder?.accounts ?? [];
    if (holder === undefined || account === undefined) throw displaced();
    const { heldBytes } = account;
    this.#give(holder.connection, account, heldBytes);
    account.isCut = true;
    account.cut(displaced());
  }
}

/** The bytes that one body holds. */
interface Account {
  heldBytes: number;
  isCut: boolean;
  readonly cut: (refusal: StreamError) => void;
}

/** The bytes that the bodies of one connection hold. */
interface Holder {
  readonly connection: object;
  heldBytes: number;
  /** Accounts that hold bytes, oldest first. */
  readonly accounts: Set<Account>;
}

function bitLengthOf(bytes: number): number {
  return 32 - Math.clz32(bytes);
}

function displaced(): StreamError {
  return overloaded("The request arrived too slowly, and its memory was needed for other requests");
}

function tooManyOnConnection(): StreamError {
  return overloaded("The connection is at its limit of unfinished request bytes");
}

function overloaded(problem: string): StreamError {
  return new StreamError("OVERLOADED", `${problem}; the call may be made again in a moment.`, {
    metadata: { [RETRY_AFTER_MS]: String(RETRY_MS) },
  });
}
