/** Bounds of one worker. */
export interface WorkerLimits {
  /** Most functions and triggers that it may register. */
  readonly maxRegistrations: number;
  /** Most calls that it has not answered, whatever it grants. */
  readonly maxOutstanding: number;
  /** Most calls that wait for it to take more. */
  readonly maxWaiting: number;
  /** Most bytes of payloads of these calls. */
  readonly maxWaitingBytes: number;
  /** Most bytes that were sent to it and that it has not read, before calls wait. */
  readonly maxUnreadBytes: number;
  /** Most calls of its own that are not answered; beyond it nothing more is read. */
  readonly maxOwnCalls: number;
  /** Longest silence, in milliseconds. */
  readonly silenceMs: number;
  /** How long a worker that leaves in good order may take to answer, in milliseconds. */
  readonly drainMs: number;
  /** How long what it had is remembered after it has gone, in milliseconds. */
  readonly reattachMs: number;
}

/** Bounds unless told otherwise. */
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
