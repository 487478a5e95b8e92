/** Limits of one worker. */
export interface WorkerLimits {
  /** Most functions and triggers that it may register. */
  readonly maxRegistrations: number;
  /** Most calls without a result, whatever it grants. */
  readonly maxOutstanding: number;
  /** Most calls in its queue. */
  readonly maxWaiting: number;
  /** Most bytes of payloads of these calls. */
  readonly maxWaitingBytes: number;
  /** Most unread bytes sent to it, beyond which calls wait. */
  readonly maxUnreadBytes: number;
  /** Most calls of its own under way; beyond it nothing more is read from it. */
  readonly maxOwnCalls: number;
  /** Longest silence, in milliseconds. */
  readonly silenceMs: number;
  /** Grace period of a worker that leaves, in milliseconds. */
  readonly drainMs: number;
  /** How long its registrations are kept after it has disconnected, in milliseconds. */
  readonly reattachMs: number;
}

/** Default limits. */
export const DEFAULT_WORKER_LIMITS: WorkerLimits = {
  maxRegistrations: 10_000,
  maxOutstanding: 1000,
  maxWaiting: 1000,
  maxWaitingBytes: 64 * 1024 * 1024,
  maxUnreadBytes: 8 * 1024 * 1024,
  maxOwnCalls: 1000,
  silenceMs: 60_000,
  drainMs: 30_000,
  reattachMs: 30_000,
};
