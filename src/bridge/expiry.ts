import { StreamError } from "../core/errors.ts";
import { type Caller, isSameCaller } from "../rights/caller.ts";
import { expired } from "../service/calls.ts";
import type { PlannedCall, Moments } from "../timers/moments.ts";
import type { BridgeLimits } from "./limits.ts";
import type { DeltaCompression } from "./delta-compression.ts";
import type { OutletSocket } from "./send-queue.ts";

/**
 * Verifies a new token of the caller of a socket, as at its handshake.
 *
 * @returns The caller that the token identifies, with its rights as they are now.
 * @throws StreamError AUTH_REFUSED, AUTH_EXPIRED
 */
export type Renew = (token: string, caller: Caller) => Promise<Caller>;

/** Dependencies of expiries. */
export interface ExpiryOptions {
  readonly renew: Renew;
  /** The deadlines of all sockets. */
  readonly deadlines: Moments;
  readonly limits: Pick<BridgeLimits, "renewalGraceMs">;
}

/** Receives the end of a caller's credentials. */
export interface ExpiryOwner {
  /**
   * Called when they have expired, less than a second late.
   *
   * @returns Whether the caller may renew them.
   */
  onExpired(): boolean;
  /** Called when they were not renewed within the grace period. */
  onNotRenewed(): void;
}

/**
 * The end of the credentials of a socket's caller. A socket whose caller has none has no expiry.
 *
 * It is the outlet of the socket's frames, and reports itself full from the moment of the end: the
 * frames then wait in the bounded queues of the subscriptions (G7), until the caller has renewed
 * its credentials. So nothing is delivered after that moment, and nothing is missed.
 */
export class Expiry implements OutletSocket {
  readonly #socket: OutletSocket;
  readonly #options: ExpiryOptions;
  readonly #owner: ExpiryOwner;
  /** Unix milliseconds; Infinity when the renewed credentials have no end. */
  #expiresAtMs: number;
  /** The end of the credentials, then that of the grace period. */
  #deadline: PlannedCall | undefined;
  #isRenewing = false;
  /** Whether the grace period has ended during a renewal. */
  #isOverdue = false;
  #isClosed = false;

  private constructor(
    socket: OutletSocket,
    expiresAtMs: number,
    options: ExpiryOptions,
    owner: ExpiryOwner,
  ) {
    this.#socket = socket;
    this.#options = options;
    this.#owner = owner;
    this.#expiresAtMs = expiresAtMs;
    this.#deadline = this.#await(expiresAtMs);
  }

  /** The expiry of a caller; undefined when its credentials have no end. */
  static of(
    { expiresAtMs }: Caller,
    socket: OutletSocket,
    options: ExpiryOptions,
    owner: ExpiryOwner,
  ): Expiry | undefined {
    return expiresAtMs === undefined ? undefined : new Expiry(socket, expiresAtMs, options, owner);
  }

  /** Whether the credentials have expired. */
  get isOver(): boolean {
    return this.#expiresAtMs <= Date.now();
  }

  /** @see OutletSocket */
  get bufferedBytes(): number {
    return this.isOver ? Infinity : this.#socket.bufferedBytes;
  }

  /** @see OutletSocket */
  get compression(): DeltaCompression | undefined {
    return this.#socket.compression;
  }

  /** @see OutletSocket */
  get address(): string {
    return this.#socket.address;
  }

  /** @see OutletSocket */
  cut(): void {
    this.#socket.cut();
  }

  /** @see OutletSocket */
  send(frames: Buffer, taken: () => void): void {
    this.#socket.send(frames, taken);
  }

  /**
   * Renews the credentials of the caller by a token. One renewal at a time.
   *
   * @returns The same caller, with its rights as they are now. The expiry continues with its end.
   * @throws StreamError when the token is not accepted: then nothing changes.
   */
  async renew(token: string, caller: Caller): Promise<Caller> {
    if (this.#isRenewing) {
      throw new StreamError(
        "REQUEST_INVALID",
        "token came while an earlier one is verified; it may be sent after the response to that one.",
        { metadata: { field: "token" } },
      );
    }
    this.#isRenewing = true;
    try {
      const renewed = await this.#options.renew(token, caller);
      if (!isSameCaller(caller, renewed)) {
        throw new StreamError(
          "AUTH_REFUSED",
          "token is of another caller; it may be a new one of the caller that opened the socket.",
        );
      }
      const { expiresAtMs = Infinity } = renewed;
      if (expiresAtMs <= Date.now()) throw expired();
      this.#expiresAtMs = expiresAtMs;
      this.#isOverdue = false;
      this.#deadline?.cancel();
      if (!this.#isClosed) this.#deadline = this.#await(expiresAtMs);
      return { ...renewed, connection: caller.connection };
    } finally {
      this.#isRenewing = false;
      if (this.#isOverdue && !this.#isClosed) this.#owner.onNotRenewed();
    }
  }

  /** Ends it with its socket. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#deadline?.cancel();
  }

  #await(expiresAtMs: number): PlannedCall | undefined {
    const { deadlines, limits } = this.#options;
    if (expiresAtMs === Infinity) return undefined;
    return deadlines.at(expiresAtMs, () => {
      if (!this.#owner.onExpired()) return;
      this.#deadline = deadlines.at(expiresAtMs + limits.renewalGraceMs, () => {
        if (this.#isRenewing) this.#isOverdue = true;
        else this.#owner.onNotRenewed();
      });
    });
  }
}
