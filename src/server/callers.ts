import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http2";
import { StreamError } from "../core/errors.ts";

/** The facts about the caller of a request. */
export interface Caller {
  /** Address of the peer. */
  readonly address: string | undefined;
  /** `origin` header: the page in a browser; undefined for other callers. */
  readonly origin: string | undefined;
  /** `host` header or `:authority`. */
  readonly host: string | undefined;
  /** `authorization` header. */
  readonly authorization: string | undefined;
  /** Whether a proxy forwarded the request. */
  readonly isRelayed: boolean;
  /** Whether a browser says that a page of another origin caused the request. */
  readonly isCrossOrigin: boolean;
}

/** Reads the caller from the headers of a request over HTTP/1.1 or HTTP/2. */
export function callerFrom(headers: IncomingHttpHeaders, address: string | undefined): Caller {
  const { origin, authorization, host, ":authority": authority, via, forwarded } = headers;
  const site = headers["sec-fetch-site"];
  return {
    address,
    origin,
    host: authority ?? host,
    authorization,
    isRelayed:
      forwarded !== undefined ||
      via !== undefined ||
      headers["x-forwarded-for"] !== undefined ||
      headers["x-real-ip"] !== undefined,
    // Browsers also send this where they send no origin, as with the GET of an image.
    isCrossOrigin: site !== undefined && site !== "same-origin" && site !== "none",
  };
}

/** The configured access rules. */
export interface CallerRules {
  /** Tokens of trusted callers. Without any, loopback peers are trusted. */
  readonly apiTokens: readonly string[];
  /** Origins of pages that may follow streams; `*`: any. Undefined: every loopback origin. */
  readonly allowedOrigins: readonly string[] | undefined;
  /** URL of the service as browsers see it. Pages of its origin may follow streams, too. */
  readonly publicUrl: string | undefined;
  /** Trusts every caller. */
  readonly insecure: boolean;
}

/** Decides what callers may do. */
export interface Callers {
  /**
   * Whether a caller has one of the tokens. With no token configured, callers on this machine are
   * trusted, or all if `insecure` is set.
   */
  isTrusted(caller: Caller): boolean;
  /**
   * Admits trusted callers only.
   *
   * @throws StreamError AUTH_REFUSED, NOT_TRUSTED
   */
  requireTrusted(caller: Caller): void;
  /**
   * Admits clients, which may subscribe: every caller except pages of foreign origins.
   *
   * @throws StreamError NOT_TRUSTED
   */
  requireClient(caller: Caller): void;
  /** Whether a page of this origin may read responses (CORS) and follow streams. */
  allowsOrigin(caller: Caller): boolean;
}

/** Builds the decisions from the access rules. */
export function createCallers(rules: CallerRules): Callers {
  const tokens = rules.apiTokens.map(digest);
  const hasToken = ({ authorization }: Caller) => {
    const presented = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (presented === undefined) return false;
    const hash = digest(presented);
    // Every token is compared, in constant time, so that timing reveals nothing about any of them.
    return tokens.reduce((found, token) => timingSafeEqual(token, hash) || found, false);
  };
  const publicOrigin = parseOrigin(rules.publicUrl ?? "")?.origin;
  const isTrusted = (caller: Caller) =>
    tokens.length > 0 ? hasToken(caller) : rules.insecure || isLocal(caller);
  const allowsOrigin = ({ origin }: Caller) => {
    if (origin === undefined || origin === publicOrigin) return true;
    const { allowedOrigins } = rules;
    if (allowedOrigins !== undefined)
      return allowedOrigins.includes("*") || allowedOrigins.includes(origin);
    // Another name does not count even if the `host` header has it, too: a foreign name may have
    // been made to resolve to this machine (DNS rebinding).
    const url = parseOrigin(origin);
    return url !== undefined && isLoopbackName(url.hostname);
  };
  return {
    isTrusted,
    requireTrusted(caller) {
      if (isTrusted(caller)) return;
      if (tokens.length > 0) {
        throw new StreamError(
          "AUTH_REFUSED",
          "authorization has no valid token; it may be `Bearer` and one of the service's api_tokens.",
        );
      }
      throw new StreamError(
        "NOT_TRUSTED",
        "The caller is not trusted; it may be a program on this machine, or present one of the service's api_tokens.",
      );
    },
    requireClient(caller) {
      if (allowsOrigin(caller) || isTrusted(caller)) return;
      throw new StreamError(
        "NOT_TRUSTED",
        "origin is not allowed; it may be one of the service's allowed_origins.",
      );
    },
    allowsOrigin,
  };
}

/** Whether a host can be reached from this machine only. */
export function isLoopbackName(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, "");
  return name === "localhost" || name.endsWith(".localhost") || isLoopbackAddress(name);
}

function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.replace(/^::ffff:/i, "");
  return plain === "::1" || /^127(?:\.\d{1,3}){3}$/.test(plain);
}

/**
 * Whether the caller is a program on this machine, or the service's own page there.
 *
 * The host has to be a loopback name even without an origin: a page whose name was made to resolve
 * to this machine sends none with its GET requests (DNS rebinding). Requests that a proxy on this
 * machine forwards come from anywhere, and so do those that a page of another origin causes a
 * browser on this machine to send.
 */
function isLocal({ address, origin, host, isRelayed, isCrossOrigin }: Caller): boolean {
  if (isRelayed || isCrossOrigin || !isLoopbackAddress(address)) return false;
  const target = loopbackHost(host ?? "");
  if (target === undefined) return false;
  return origin === undefined || parseOrigin(origin)?.host === target;
}

let latest: { readonly host: string; readonly target: string | undefined } | undefined;

/**
 * The host in its normal form if it is a loopback name. Caches the latest result, because parsing
 * costs more than all other checks.
 */
function loopbackHost(host: string): string | undefined {
  if (latest?.host !== host) {
    const url = parseOrigin(`http://${host}`);
    const target = url !== undefined && isLoopbackName(url.hostname) ? url.host : undefined;
    latest = { host, target };
  }
  return latest.target;
}

function parseOrigin(origin: string): URL | undefined {
  try {
    const url = new URL(origin);
    return url.protocol === "http:" || url.protocol === "https:" ? url : undefined;
  } catch {
    return undefined;
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
