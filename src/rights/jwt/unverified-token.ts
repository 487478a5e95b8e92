import type { JWTHeaderParameters } from "jose";
import { isRecord } from "../../core/is-record.ts";
import { parseNested } from "../../core/nesting.ts";
import { TokenProblem } from "./token-problem.ts";

/** Largest token, in bytes. */
const MAX_TOKEN_BYTES = 16 * 1024;

/** A token as it was presented: whatever it says may be a lie. */
export interface UnverifiedToken {
  readonly header: JWTHeaderParameters;
  readonly claims: Readonly<Record<string, unknown>>;
}

const COMPACT = /^([\w-]+)\.([\w-]+)\.[\w-]*$/;

/**
 * Reads a token without verifying it, to find the entry that it is for.
 *
 * Size and nesting are limited, and a key `__proto__` is refused, before anything else reads it.
 *
 * @throws TokenProblem
 */
export function readUnverified(token: string): UnverifiedToken {
  // The characters of a valid token are bytes.
  if (token.length > MAX_TOKEN_BYTES) {
    throw new TokenProblem("key", `The token is too large; it may have ${MAX_TOKEN_BYTES} bytes.`);
  }
  const [, header = "", claims = ""] = COMPACT.exec(token) ?? [];
  const read = { header: objectIn(header), claims: objectIn(claims) };
  if (read.header === undefined || read.claims === undefined) {
    throw new TokenProblem(
      "key",
      "The token is malformed; it may be a signed JWT: header, claims and signature in base64url.",
    );
  }
  if (read.header["crit"] !== undefined) {
    throw new TokenProblem(
      "key",
      "The token has critical headers (crit), of which the service knows none; it may have no crit.",
    );
  }
  if (hasProtoKey(read.claims)) {
    throw new TokenProblem(
      "key",
      "The token has a claim with the key __proto__; claims may have any other key.",
    );
  }
  return { header: read.header as unknown as JWTHeaderParameters, claims: read.claims };
}

function objectIn(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const bytes = Buffer.from(part, "base64url");
    const json = parseNested(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isRecord(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

/** Recursion is safe, because the nesting is limited. */
function hasProtoKey(json: unknown): boolean {
  if (typeof json !== "object" || json === null) return false;
  if (Object.hasOwn(json, "__proto__")) return true;
  return Object.values(json).some(hasProtoKey);
}
