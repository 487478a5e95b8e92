import { RateScope, Throttle } from "./throttle.ts";
import type { Rate } from "./token-bucket.ts";

/** Most addresses without a connection that are kept; the least recently used are dropped first. */
const MAX_IDLE = 20_000;
/** How long an address without a connection is kept, in milliseconds; at most twice this. */
const IDLE_MS = 60_000;

/** The state of one address. */
export interface AddressState {
  /** Number of open connections. */
  connections: number;
  readonly scope: RateScope;
  /** The throttle of callers that are limited by their address only. */
  readonly throttle: Throttle;
}

/**
 * The states of the addresses that use the service now.
 *
 * Addresses with open connections are kept, so there are no more of them than connections. The
 * others belong to two generations: an address that is used moves to the young one, which becomes
 * the old one after a minute, or when it is large; the previous old generation is dropped. So any
 * number of addresses costs a bounded amount of memory, and each step takes constant time.
 */
export class AddressRegistry {
  readonly #rate: Rate;
  readonly #maxIdle: number;
  readonly #connected = new Map<string, AddressState>();
  #young = new Map<string, AddressState>();
  #old = new Map<string, AddressState>();
  #rotatedAtMs = performance.now();

  /** @param rate The limit of the calls and frames of one address. */
  constructor(rate: Rate, maxIdle = MAX_IDLE) {
    this.#rate = rate;
    this.#maxIdle = maxIdle;
  }

  /** How many addresses are known. */
  get size(): number {
    return this.#connected.size + this.#young.size + this.#old.size;
  }

  /** The state of an address. */
  get(key: string): AddressState {
    const connected = this.#connected.get(key);
    if (connected !== undefined) return connected;
    this.#rotate();
    let state = this.#young.get(key);
    if (state !== undefined) return state;
    state = this.#old.get(key) ?? this.#newState();
    this.#old.delete(key);
    this.#young.set(key, state);
    return state;
  }

  /** Counts a connection of an address. */
  connect(key: string): AddressState {
    const state = this.get(key);
    if (state.connections++ === 0) {
      this.#young.delete(key);
      this.#connected.set(key, state);
    }
    return state;
  }

  /** Undoes one `connect`. */
  disconnect(key: string): void {
    const state = this.#connected.get(key);
    if (state === undefined || --state.connections > 0) return;
    this.#connected.delete(key);
    this.#rotate();
    this.#young.set(key, state);
  }

  #newState(): AddressState {
    const scope = new RateScope(this.#rate, performance.now());
    return { connections: 0, scope, throttle: new Throttle([scope]) };
  }

  #rotate(): void {
    const nowMs = performance.now();
    if (this.#young.size < this.#maxIdle / 2 && nowMs - this.#rotatedAtMs < IDLE_MS) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#rotatedAtMs = nowMs;
  }
}
