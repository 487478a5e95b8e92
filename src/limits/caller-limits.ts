import type { Rate } from "./token-bucket.ts";

/** Limits of callers. Callers of this machine are exempt, unless they forward as a proxy. */
export interface CallerLimits {
  /**
   * Addresses and CIDR ranges of proxies, whose `X-Forwarded-For` header names the client. Default:
   * only loopback.
   */
  readonly trustedProxies: readonly string[];
  /** Most open connections of one address. Default 1,000. */
  readonly maxConnectionsPerAddress: number;
  /**
   * Most connections in total that have sent no request, but at most half of the files that the
   * process may have open. Beyond it the oldest connection of the address with the most is closed.
   * Default 16,384.
   */
  readonly maxUnsettledConnections: number;
  /** Calls over one connection. Default 1,000 per second, with a burst of 5,000. */
  readonly calls: Rate;
  /**
   * New subscriptions over one connection, including WebSockets of this machine. Default 100 per
   * second, with a burst of 2,000.
   */
  readonly subscriptions: Rate;
  /**
   * Calls, WebSocket handshakes and WebSocket frames of one address. Default 5,000 per second, with
   * a burst of 50,000.
   */
  readonly requestsPerAddress: Rate;
  /** Whether rates apply to trusted callers, too. Default false. */
  readonly limitTrustedCallers: boolean;
}

/** Default limits. */
export const DEFAULT_CALLER_LIMITS: CallerLimits = {
  trustedProxies: [],
  maxConnectionsPerAddress: 1000,
  maxUnsettledConnections: 16_384,
  calls: { perSecond: 1000, burst: 5000 },
  subscriptions: { perSecond: 100, burst: 2000 },
  requestsPerAddress: { perSecond: 5000, burst: 50_000 },
  limitTrustedCallers: false,
};
