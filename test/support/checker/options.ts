/** The assumptions and requirements of the checker. */
export interface CheckOptions {
  /**
   * Nothing may be lost during the history: the store is durable, or was never restarted. Then a
   * group has one epoch, and no read may show it as never written once it was. Default true.
   */
  readonly durable?: boolean | undefined;
  /**
   * The history has every write to the groups since they were empty. Then a change without a write
   * is a fault. Default true.
   */
  readonly allWritesRecorded?: boolean | undefined;
  /**
   * Every resume from a position that a client received in the present epoch must be honoured,
   * because the log keeps everything. Default false: a fresh sync is always a correct response.
   */
  readonly expectResume?: boolean | undefined;
  /**
   * A transient event sent after a segment was opened must arrive in it, unless the segment ended
   * less than `slackMs` after the event was acknowledged. Default false.
   */
  readonly expectEvents?: boolean | undefined;
  /** Check the times of heartbeats by this interval. Default: do not. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** How late a frame may reach a client that reads. Default 2,000. */
  readonly slackMs?: number | undefined;
  /** Most violations that each check reports one by one. Default 50. */
  readonly maxPerCheck?: number | undefined;
}

/** Options with all defaults in place. */
export interface Settings {
  readonly durable: boolean;
  readonly allWritesRecorded: boolean;
  readonly expectResume: boolean;
  readonly expectEvents: boolean;
  readonly heartbeatIntervalMs: number | undefined;
  readonly slackMs: number;
  readonly maxPerCheck: number;
}

/** Applies the defaults. */
export function settingsOf(options: CheckOptions): Settings {
  return {
    durable: options.durable ?? true,
    allWritesRecorded: options.allWritesRecorded ?? true,
    expectResume: options.expectResume ?? false,
    expectEvents: options.expectEvents ?? false,
    heartbeatIntervalMs: options.heartbeatIntervalMs,
    slackMs: options.slackMs ?? 2000,
    maxPerCheck: options.maxPerCheck ?? 50,
  };
}
