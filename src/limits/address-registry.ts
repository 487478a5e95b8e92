import { RateScope, Throttle } from "./throttle.ts";
import type { Rate } from "./token-bucket.ts";

/** Most addresses without a connection that are remembered; the ones unused for longest go first. */
const MAX_IDLE = 20_000;
/** How long an address without a connection is remembered, in milliseconds, at most twice this. */
const IDLE_MS = 60_000;

/** What is known of one address. */
export interface AddressState {
  /** Connections that are open. */
  connections: number;
  readonly scope: RateScope;
  /** For callers that belong to no scope but that of their address. */
  readonly throttle: Throttle;
}

/**
 * What is known of the addresses that use the service now.
 *
 * Those with open connections are kept, and no more numerous than these. The others are of two
 * generations: what is used belongs to the young one, which becomes the old one after a minute, or when
 * it is large; what was old until then is forgotten. So a crowd of addresses costs a bounded amount of
 * memory, and each step costs the same.
 */
export class AddressRegistry {
  readonly #rate: Rate;
  readonly #maxIdle: number;
  readonly #connected = new Map<string, AddressState>();
  #young = new Map<string, AddressState>();
  #old = new Map<string, AddressState>();
  #rotatedAtMs = performance.now();

  /** @param rate Calls and frames of one address. */
  constructor(rate: Rate, maxIdle = MAX_IDLE) {
    this.#rate = rate;
    this.#maxIdle = maxIdle;
  }

  /** How many addresses are known. */
  get size(): number {
    return this.#connected.size + this.#young.size + this.#old.size;
  }

  /** What is known of an address. */
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

  /** Takes back one `connect`. */
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
