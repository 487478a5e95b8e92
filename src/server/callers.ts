import { createHash, timingSafeEqual } from "node:crypto";
import { StreamError } from "../core/errors.ts";

/** What is known of whoever makes a request. */
export interface Caller {
  /** Address of the peer. */
  readonly address: string | undefined;
  /** `origin` header: a browser's page; undefined for everybody else. */
  readonly origin: string | undefined;
  /** `host` header or `:authority`. */
  readonly host: string | undefined;
  /** `authorization` header. */
  readonly authorization: string | undefined;
}

/** Who may do what. */
export interface CallerRules {
  /** Tokens of trusted callers. Without any, loopback peers are trusted. */
  readonly apiTokens: readonly string[];
  /** Origins of pages that may follow streams besides loopback and the service's own; `*`: any. */
  readonly allowedOrigins: readonly string[] | undefined;
  /** Whether the service listens on loopback only. */
  readonly onLoopback: boolean;
  /** Trusts everybody. */
  readonly insecure: boolean;
}

/** Decides who may call. */
export interface Callers {
  /**
   * Lets trusted callers pass: those with one of the tokens; with no token configured, loopback peers
   * that are no foreign page.
   *
   * @throws StreamError AUTH_REFUSED, NOT_TRUSTED
   */
  requireTrusted(caller: Caller): void;
  /** Lets clients pass, who may subscribe: anybody but foreign pages. @throws StreamError NOT_TRUSTED */
  requireClient(caller: Caller): void;
  /** Whether a page of this origin may see answers (CORS) and follow streams. */
  allowsOrigin(caller: Caller): boolean;
}

/** Builds the rules of who may call. */
export function createCallers(rules: CallerRules): Callers {
  const tokens = rules.apiTokens.map(digest);
  const hasToken = ({ authorization }: Caller) => {
    const presented = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (presented === undefined) return false;
    const hash = digest(presented);
    // Every token is compared, in constant time, so that time tells nothing about any of them.
    return tokens.reduce((found, token) => timingSafeEqual(token, hash) || found, false);
  };
  const isTrusted = (caller: Caller) => {
    if (tokens.length > 0) return hasToken(caller);
    return rules.insecure || (isLoopbackAddress(caller.address) && isMeantForLoopback(caller));
  };
  const allowsOrigin = (caller: Caller) => {
    if (caller.origin === undefined) return true;
    const { allowedOrigins } = rules;
    if (allowedOrigins !== undefined)
      return allowedOrigins.includes("*") || allowedOrigins.includes(caller.origin);
    const origin = parseOrigin(caller.origin);
    if (origin === undefined) return false;
    if (isLoopbackName(origin.hostname)) return true;
    // Behind a loopback address the page's own host is trustworthy only as a loopback name: a foreign
    // name that resolves to this machine is an attack (DNS rebinding).
    return !rules.onLoopback && origin.host === parseOrigin(`http://${caller.host ?? ""}`)?.host;
  };
  return {
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

/** Whether a host to listen on is reached from this machine only. */
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
 * Whether a request from this machine was also meant for it, and is no foreign page's doing.
 *
 * The host has to be a loopback name even without an origin: a page whose name was made to resolve to
 * this machine sends none with its GET requests (DNS rebinding), and a proxy on this machine hands on
 * whoever comes from outside.
 */
function isMeantForLoopback({ origin, host }: Caller): boolean {
  const target = parseOrigin(`http://${host ?? ""}`);
  if (target === undefined || !isLoopbackName(target.hostname)) return false;
  return origin === undefined || parseOrigin(origin)?.host === target.host;
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
