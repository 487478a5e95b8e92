import type { IncomingHttpHeaders } from "node:http2";

/** What a request says about its caller. */
export interface CallerFacts {
  /** Address of the peer. */
  readonly address: string | undefined;
  /** `origin` header: the page in a browser; undefined for other callers. */
  readonly origin: string | undefined;
  /** `host` header or `:authority`. */
  readonly host: string | undefined;
  /** `authorization` header, or the token that a WebSocket carries as a sub-protocol. */
  readonly authorization: string | undefined;
  /** Whether a proxy forwarded the request. */
  readonly isRelayed: boolean;
  /** Whether a browser says that a page of another origin caused the request. */
  readonly isCrossOrigin: boolean;
}

/** Reads the facts from the headers of a request over HTTP/1.1 or HTTP/2. */
export function factsFrom(headers: IncomingHttpHeaders, address: string | undefined): CallerFacts {
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

/** Whether a host can be reached from this machine only. */
export function isLoopbackName(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, "");
  return name === "localhost" || name.endsWith(".localhost") || isLoopbackAddress(name);
}

let latestAddress: { readonly address: string; readonly isLoopback: boolean } | undefined;

/** Caches the latest result, as most callers have one address. */
function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  if (latestAddress?.address !== address)
    latestAddress = { address, isLoopback: matchesLoopback(address) };
  return latestAddress.isLoopback;
}

function matchesLoopback(address: string): boolean {
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
export function isOnThisMachine({
  address,
  origin,
  host,
  isRelayed,
  isCrossOrigin,
}: CallerFacts): boolean {
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

/** The URL of an origin; undefined when it is none of HTTP. */
export function parseOrigin(origin: string): URL | undefined {
  try {
    const url = new URL(origin);
    return url.protocol === "http:" || url.protocol === "https:" ? url : undefined;
  } catch {
    return undefined;
  }
}
