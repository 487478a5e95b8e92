import { randomUUID } from "node:crypto";
import { unavailable } from "../../redis/redis-failure.ts";
import { waitAtMost } from "../../timers/timers.ts";
import type { Membership } from "./membership.ts";
import { RELEASE_MS } from "./session-requests.ts";

/** How long a proof lasts, in milliseconds: with a margin for clocks that run at different rates. */
const PROOF_MS = 0.8 * RELEASE_MS;

/** Dependencies of the fence. */
export interface SessionFenceOptions {
  readonly membership: Pick<Membership, "mayDeliver" | "ready">;
  readonly timeoutMs: number;
  /** Sends a message to this process, by the channel on which requests for releases come. */
  readonly send: (message: string) => Promise<unknown>;
  /** Whether all sessions are recorded under the member id of this process. */
  readonly isRecorded: () => boolean;
  /** Records them. */
  readonly record: () => Promise<unknown>;
  readonly onProblem: (error: unknown) => void;
}

/** Proves that no session of this process was taken up unnoticed. */
export interface SessionFence {
  /**
   * Whether that is certain for this moment: true, or a promise that resolves when it is.
   *
   * @throws StreamError STORE_UNAVAILABLE, as a rejection.
   */
  check(): true | Promise<true>;
  /** A message of this process to itself has come. */
  receive(proof: string): void;
  /** Messages to this process may have been lost, until all sessions are recorded anew. */
  doubt(): void;
}

/**
 * A process starts calls of a session only while it is certain that no other one does.
 *
 * - Before a session is taken up, its process is sent a request to release it. A message of that
 *   process to itself, by the same channel, comes after all requests that were sent before. Having
 *   received one that was sent at t, by its own clock, the process knows of every request made before
 *   t, and starts calls until t + PROOF_MS.
 * - The process that takes the session up starts no calls before the request is confirmed, or
 *   RELEASE_MS have passed since it was made, which is later. A request that was made before t is known
 *   there; one that was made after t is not over before t + RELEASE_MS.
 * - When messages may have been lost, a new proof counts after all sessions have been recorded anew,
 *   which finds out about those that were taken up.
 * - A session is adopted when the lease of its process has ended, which that process notices first.
 *
 * Calls that have started are handed to the store at once, or after their gates, which fail them when
 * the session was released meanwhile.
 */
export function createSessionFence(options: SessionFenceOptions): SessionFence {
  const { membership, timeoutMs, send, isRecorded, record, onProblem } = options;
  const proofs = new Map<string, () => void>();
  let provenMs = -Infinity;
  let doubts = 0;
  let proving: Promise<void> | undefined;

  const prove = async () => {
    if (!isRecorded()) await record();
    if (!membership.mayDeliver()) await membership.ready();
    const proof = randomUUID();
    try {
      let isReceived = false as boolean;
      const received = new Promise<void>((resolve) => proofs.set(proof, resolve));
      const before = doubts;
      const sentMs = performance.now();
      await send(proof);
      await waitAtMost(
        timeoutMs,
        received.then(() => (isReceived = true)),
      );
      if (!isReceived) throw unavailable(undefined);
      // After a lost connection, the message may come just before it is known that others were lost.
      await new Promise((resolve) => setImmediate(resolve));
      if (before === doubts) provenMs = sentMs;
    } finally {
      proofs.delete(proof);
    }
  };
  const proveOnce = () =>
    (proving ??= prove().finally(() => {
      proving = undefined;
    }));
  const isCertain = () =>
    performance.now() < provenMs + PROOF_MS && membership.mayDeliver() && isRecorded();
  const untilCertain = async (): Promise<true> => {
    const deadlineMs = performance.now() + 2 * timeoutMs;
    do {
      await proveOnce();
      if (isCertain()) return true;
    } while (performance.now() < deadlineMs);
    throw unavailable(undefined);
  };

  return {
    check() {
      if (!isCertain()) return untilCertain();
      // In time for the next call: nobody waits for it.
      if (performance.now() > provenMs + PROOF_MS / 2) proveOnce().catch(onProblem);
      return true;
    },
    receive: (proof) => proofs.get(proof)?.(),
    doubt() {
      doubts++;
      provenMs = -Infinity;
    },
  };
}
