import { createHash } from "node:crypto";
import { isRecord } from "../core/is-record.ts";
import type { UpdateOp } from "../core/ops.ts";
import type { Idempotency } from "../core/idempotency-key.ts";
import type { Committed } from "../core/store.ts";
import type { Value } from "../core/value.ts";
import { type Caller, identityOf } from "../rights/caller.ts";
import { checkIdempotencyKey } from "./checks.ts";
import type { Keyed } from "./requests.ts";

/** A write that takes effect once. */
export interface OnceOnly {
  readonly idempotency: Idempotency;
  /** The outcome, when it is known to repeat an earlier write: then no commit is run. */
  readonly repeated?: Committed | undefined;
}

/** The write of one item, on its own or in a batch. */
interface ItemWrite {
  /** Of a mutation of a batch. */
  readonly kind?: string | undefined;
  readonly itemId?: string | undefined;
  readonly expectedRevision?: number | undefined;
  readonly data?: Value | undefined;
  readonly ops?: readonly UpdateOp[] | undefined;
  readonly ttl?: number | undefined;
  readonly whileConnected?: boolean | undefined;
}

/** A request that may have a key, as its sender made it. */
interface WriteRequest extends ItemWrite, Keyed {
  readonly expectedEpoch?: string | undefined;
  readonly mutations?: readonly ItemWrite[] | undefined;
}

/**
 * What makes a write take effect once; undefined when it has no key, as transient events. To be called with the request
 * as it came, before gates replace its content.
 *
 * @throws StreamError REQUEST_INVALID
 */
export function onceOnly(
  action: string,
  request: WriteRequest,
  caller: Caller,
): OnceOnly | undefined {
  if (request.idempotencyKey === undefined || action === "send") return undefined;
  const key = checkIdempotencyKey(request.idempotencyKey);
  const fingerprint = fingerprintOf(action, request);
  return { idempotency: { caller: identityOf(caller), key, fingerprint } };
}

/**
 * Digest of what a request would do. Equal for equal requests, whatever the protocol, the order of
 * keys in objects (clients that encode maps write them in any order), and the values they return.
 */
function fingerprintOf(action: string, request: WriteRequest): string {
  const hash = createHash("sha256");
  const mutations = action === "batch" ? request.mutations : undefined;
  hash.update(JSON.stringify([action, textOf(request.expectedEpoch), mutations?.length]));
  for (const each of mutations ?? [{ ...request, kind: action }]) {
    const { kind, itemId, expectedRevision } = each;
    // Requests of the library may have fields of other calls.
    const data = kind === "set" ? each.data : undefined;
    const ops = (kind === "update" ? each.ops : undefined) ?? [];
    const head: unknown[] = [kind, textOf(itemId), numberOf(expectedRevision), ops.length];
    hash.update(JSON.stringify(head.concat(lifetimeOf(each))));
    if (data !== undefined) hash.update(canonicalText(data));
    for (const op of ops) {
      hash.update(JSON.stringify([op.type, op.path, "by" in op ? op.by : null]));
      if ("value" in op) hash.update(canonicalText(op.value));
    }
  }
  return hash.digest("base64url");
}

/**
 * The lifetime that a write requests. Nothing when it requests none: its fingerprint is then that
 * of versions without lifetimes, which may share the keys.
 */
function lifetimeOf({ kind, ttl, whileConnected }: ItemWrite): (number | boolean | null)[] {
  if (kind === "delete" || (ttl === undefined && whileConnected !== true)) return [];
  return [numberOf(ttl), whileConnected === true];
}

// Requests are not checked yet. Those with members of other types are refused in any case.
const textOf = (member: unknown) => (typeof member === "string" ? member : null);
const numberOf = (member: unknown) => (typeof member === "number" ? member : null);

/** JSON text that equal values share. */
function canonicalText(value: Value): string {
  const { text } = value;
  // A scalar, or an array of scalars, has one text.
  return text.includes("{") ? JSON.stringify(value.json(), sorted) : text;
}

/** A replacer that puts the keys of objects in order. */
function sorted(_: string, member: unknown): unknown {
  if (!isRecord(member)) return member;
  // Without a prototype, `__proto__` is a key like any other.
  const copy = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(member).sort()) copy[key] = member[key];
  return copy;
}
