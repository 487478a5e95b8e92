import { type JWTHeaderParameters, createLocalJWKSet, errors } from "jose";
import type { JwtAlgorithm } from "./algorithms.ts";
import { fetchKeys } from "./jwks-document.ts";
import type { KeySource, VerificationKey } from "./key-source.ts";
import { keysUnavailable, unknownKey } from "./token-problem.ts";

/** Dependencies of keys that an issuer publishes. */
export interface RemoteKeysOptions {
  readonly url: string;
  /** Place of the URL in the configuration, for messages. */
  readonly place: string;
  readonly algorithms: readonly JwtAlgorithm[];
  /** Time in milliseconds. */
  readonly clock: () => number;
  readonly fetch: typeof globalThis.fetch;
  /** Time for one response, in milliseconds. */
  readonly timeoutMs: number;
  /** Receives a sentence for the operator when keys cannot be fetched, at most one in 30 s. */
  readonly onProblem: (sentence: string) => void;
}

/** Age from which keys are refreshed in the background, in milliseconds. */
const MAX_AGE_MS = 600_000;
/** Shortest time between two fetches once there are keys, in milliseconds. */
const REFETCH_MS = 30_000;
/** Shortest time between two fetches while there are none, in milliseconds. */
const FIRST_RETRY_MS = 1_000;
/** Shortest time between two sentences for the operator, in milliseconds. */
const REPORT_MS = 30_000;

type KeySet = (header: JWTHeaderParameters) => Promise<readonly VerificationKey[]>;

/**
 * The keys that an issuer publishes at a URL (JWKS): fetched when first needed, and kept.
 *
 * They are refreshed in the background when they are 10 minutes old, and at once for a token with
 * an unknown key or signature, at most every 30 s. While the issuer is down, or its response is
 * invalid, the keys last fetched remain in use, however old. Concurrent fetches are one.
 */
export function remoteKeys(options: RemoteKeysOptions): KeySource {
  const { url, place, algorithms, clock, fetch, timeoutMs, onProblem } = options;
  let keys: KeySet | undefined;
  let refreshed = -Infinity;
  let attempted = -Infinity;
  let reported = -Infinity;
  let hasFailed = false;
  let pending: Promise<void> | undefined;

  // A clock that was set far back makes everything due.
  const isDue = (sinceMs: number, afterMs: number) => Math.abs(clock() - sinceMs) >= afterMs;

  async function fetchNow(): Promise<void> {
    attempted = clock();
    try {
      const published = await fetchKeys(url, algorithms, timeoutMs, fetch);
      keys = keySetOf(createLocalJWKSet({ keys: published }));
      refreshed = attempted;
      hasFailed = false;
      if (published.length === 0) report("has no key for the accepted algorithms");
    } catch (error) {
      hasFailed = true;
      const remaining = keys === undefined ? "" : "; the keys fetched before remain in use";
      report(`cannot be fetched: ${problemOf(error)}${remaining}`);
    }
  }

  /** Never rejects. */
  function refresh(): Promise<void> {
    pending ??= fetchNow().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  function report(problem: string): void {
    if (!isDue(reported, REPORT_MS)) return;
    reported = clock();
    onProblem(`${place} ${problem}.`);
  }

  /** Whether a fetch may begin now, or is under way. */
  function canFetch(): boolean {
    const interval = keys === undefined ? FIRST_RETRY_MS : REFETCH_MS;
    return pending !== undefined || isDue(attempted, interval);
  }

  /** The keys for a header; undefined when no keys were ever fetched. */
  async function find(header: JWTHeaderParameters) {
    return keys?.(header);
  }

  return {
    async keysFor(header) {
      if (keys !== undefined && isDue(refreshed, MAX_AGE_MS) && canFetch()) void refresh();
      const known = await find(header);
      if (known !== undefined && known.length > 0) return known;
      // The keys are missing, or older than the one that the token needs.
      const mayFetch = canFetch();
      if (mayFetch) await refresh();
      const found = await find(header);
      if (found === undefined || (found.length === 0 && hasFailed)) throw keysUnavailable();
      if (found.length === 0) throw unknownKey(!mayFetch);
      return found;
    },
    async newKeysFor(header) {
      if (!canFetch()) return [];
      await refresh();
      return (await find(header)) ?? [];
    },
  };
}

/** All keys of a set that fit a header. */
function keySetOf(find: ReturnType<typeof createLocalJWKSet>): KeySet {
  return async (header) => {
    try {
      return [await find(header)];
    } catch (error) {
      const found: VerificationKey[] = [];
      // Without a key id in the header, several keys may fit. Broken keys are no keys.
      if (error instanceof errors.JWKSMultipleMatchingKeys)
        for await (const key of error) found.push(key);
      return found;
    }
  };
}

/** The problem of a failed fetch, as a clause without details of the network. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  if (error.name === "TimeoutError") return "it does not respond in time";
  // fetch throws a TypeError, with the error of the network as its cause.
  if (!(error instanceof TypeError)) return error.message;
  const { code } = (error.cause ?? {}) as { readonly code?: unknown };
  return typeof code === "string" ? `the connection failed (${code})` : "the connection failed";
}
