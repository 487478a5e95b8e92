import { AddressRegistry } from "./address-registry.ts";
import type { CallerLimits } from "./caller-limits.ts";
import { type ClientAddresses, createClientAddresses } from "./client-addresses.ts";
import { tooManyConnections } from "./refusals.ts";
import { RateScope, Throttle } from "./throttle.ts";

/** The origin of a request. */
export interface Origin {
  /** Address of the peer of the connection; undefined when it is gone. */
  readonly peer: string | undefined;
  /** The `X-Forwarded-For` header. */
  readonly forwardedFor: string | undefined;
}

/** The admission of a WebSocket. */
export interface SocketAdmission {
  /** The key of its client's address; all clients on this machine have the same. */
  readonly address: string;
  /** Limits its frames; undefined when the rates of an address do not apply. */
  readonly throttle: Throttle | undefined;
  /** To be called once, when the socket has closed; undefined when that releases nothing. */
  readonly release: (() => void) | undefined;
}

/** Enforces the limits of callers, for every protocol. */
export class CallerLimiter {
  readonly #limits: CallerLimits;
  readonly #addresses: ClientAddresses;
  readonly #registry: AddressRegistry;
  /** Throttles of connections, by the object that represents a connection. */
  readonly #throttles = new WeakMap<object, Throttle>();

  constructor(limits: CallerLimits) {
    this.#limits = limits;
    this.#addresses = createClientAddresses(limits.trustedProxies);
    this.#registry = new AddressRegistry(limits.requestsPerAddress);
  }

  /** Whether rates apply to trusted callers, too. */
  get limitsTrustedCallers(): boolean {
    return this.#limits.limitTrustedCallers;
  }

  /** The key of a caller's address; all callers on this machine have the key "". */
  addressOf({ peer, forwardedFor }: Origin): string {
    return this.#addresses.keyOf(peer, forwardedFor) ?? "";
  }

  /**
   * Counts an accepted connection.
   *
   * @returns Releases it; to be called once, when the connection has closed. Undefined for a
   *   connection that is not counted.
   * @throws StreamError TOO_MANY_CONNECTIONS
   */
  openConnection(peer: string | undefined): (() => void) | undefined {
    const key = this.#addresses.keyOf(peer, undefined);
    return key === undefined ? undefined : this.#connect(key);
  }

  /**
   * The throttle of calls over a connection; undefined when no limit applies.
   *
   * @param connection The object that represents the connection: the same for all its calls.
   */
  throttleOf(connection: object, { peer, forwardedFor }: Origin): Throttle | undefined {
    const known = this.#throttles.get(connection);
    if (known !== undefined) return known;
    const key = this.#addresses.keyOf(peer, forwardedFor);
    if (key === undefined) return undefined;
    const { scope, throttle } = this.#registry.get(key);
    // A proxy sends the calls of many clients over one connection.
    if (this.#addresses.isProxy(peer)) return throttle;
    const { calls, subscriptions } = this.#limits;
    const own = new Throttle([new RateScope(calls, performance.now(), subscriptions), scope]);
    this.#throttles.set(connection, own);
    return own;
  }

  /**
   * Counts a WebSocket handshake, and the socket if its client is behind a proxy. (Other
   * connections were counted when they were accepted.)
   *
   * @param isExempt Whether no rate applies to its caller; the number of sockets is limited anyway.
   * @throws StreamError RATE_LIMITED, TOO_MANY_CONNECTIONS
   */
  admitSocket({ peer, forwardedFor }: Origin, isExempt: boolean): SocketAdmission {
    const key = this.#addresses.keyOf(peer, forwardedFor);
    if (key === undefined) return EXEMPT;
    const throttle = isExempt ? undefined : this.#registry.get(key).throttle;
    throttle?.call();
    const release = this.#addresses.isProxy(peer) ? this.#connect(key) : undefined;
    return { address: key, throttle, release };
  }

  #connect(key: string): () => void {
    const { maxConnectionsPerAddress: max } = this.#limits;
    if (this.#registry.get(key).connections >= max) throw tooManyConnections(max);
    this.#registry.connect(key);
    return () => this.#registry.disconnect(key);
  }
}

const EXEMPT: SocketAdmission = { address: "", throttle: undefined, release: undefined };
