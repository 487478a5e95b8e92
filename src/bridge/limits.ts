/** Limits of one socket. */
export interface BridgeLimits {
  /** Most subscriptions. */
  readonly maxSubscriptions: number;
  /** Largest frame of a client, in bytes. */
  readonly maxFrameBytes: number;
  /** Most open calls. */
  readonly maxCalls: number;
  /** Largest frame of a client that has said hello and may write, in bytes. */
  readonly maxCallFrameBytes: number;
  /** Most bytes of results that a client has not read: beyond them it is closed. */
  readonly maxResultBytes: number;
  /** Malformed frames after which the socket is closed. */
  readonly maxMalformedFrames: number;
  /** Frames that a client may send: per second on average, and in a burst. */
  readonly maxFramesPerSecond: number;
  readonly maxFrameBurst: number;
  /** Largest snapshot that is sent as one frame, in bytes. */
  readonly maxSyncBytes: number;
  /**
   * Interval of pings, in milliseconds. A client that sends nothing after two of them is closed.
   */
  readonly pingIntervalMs: number;
  /**
   * How long a client that said hello may renew its credentials after they have expired, in
   * milliseconds. Then it is closed.
   */
  readonly renewalGraceMs: number;
}

/** Default limits. */
export const DEFAULT_BRIDGE_LIMITS: BridgeLimits = {
  maxSubscriptions: 1000,
  maxFrameBytes: 64 * 1024,
  maxCalls: 256,
  maxCallFrameBytes: 4 * 1024 * 1024,
  maxResultBytes: 32 * 1024 * 1024,
  maxMalformedFrames: 10,
  maxFramesPerSecond: 200,
  maxFrameBurst: 2000,
  maxSyncBytes: 64 * 1024 * 1024,
  pingIntervalMs: 30_000,
  renewalGraceMs: 30_000,
};
