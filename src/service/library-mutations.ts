import { isRecord } from "../core/is-record.ts";
import { StreamError } from "../core/errors.ts";
import { opsFromJson } from "../core/op-json.ts";
import { Value } from "../core/value.ts";
import { MAX_MUTATIONS } from "./checks.ts";
import type { Mutation, TimeToLiveMs } from "./library-types.ts";
import type { BatchMutation } from "./requests.ts";

const KINDS = ["set", "update", "delete"] as const;

/**
 * Reads the mutations of a batch from their library form. JavaScript callers have no type checks,
 * so malformed ones are refused here.
 *
 * @throws StreamError REQUEST_INVALID, OP_MALFORMED, VALUE_INVALID and the like; its metadata has
 *   the mutation's `index`.
 */
export function mutationsFromLibrary(mutations: readonly Mutation[]): BatchMutation[] {
  if (Array.isArray(mutations)) return mutations.map(mutationFromLibrary);
  throw invalid(
    "mutations",
    `is not an array; it may be an array of 1 to ${MAX_MUTATIONS} mutations`,
  );
}

function mutationFromLibrary(mutation: Mutation, index: number): BatchMutation {
  const field = `mutations[${index}]`;
  try {
    checkForm(mutation, field);
    if ("set" in mutation) {
      const data = Value.of(mutation.set.data, `${field}.set.data`);
      return { kind: "set", ...withTtl(mutation.set, `${field}.set.`), data };
    }
    if ("update" in mutation) {
      const ops = opsFromJson(mutation.update.ops);
      return { kind: "update", ...withTtl(mutation.update, `${field}.update.`), ops };
    }
    return { kind: "delete", ...mutation.delete };
  } catch (error) {
    throw StreamError.from(error).with({ index: String(index) });
  }
}

/**
 * A write of the library with its lifetime as the handlers take it. A write without one stays as it
 * is: an object that gains a key after it was spread is slow.
 *
 * @param at Path of the write in its request, with a dot at the end. Default: it is the request.
 * @throws StreamError REQUEST_INVALID for `ttl`, its name in the protocol: ignored, the item would
 *   live for ever.
 */
export function withTtl<Write extends TimeToLiveMs>(
  write: Write,
  at = "",
): Write & { readonly ttl?: number | undefined } {
  if ("ttl" in write)
    throw invalid(`${at}ttl`, "is a field of the protocol; it may be ttlMs, in milliseconds");
  const { ttlMs } = write;
  return ttlMs === undefined ? write : { ttl: ttlMs, ...write };
}

/** Checks that a mutation is an object with one key, its kind, that holds an object. */
function checkForm(mutation: unknown, field: string): void {
  if (!isRecord(mutation))
    throw invalid(field, "is not an object; it may be an object with set, update or delete");
  const [kind, other] = Object.keys(mutation);
  if (kind === undefined) throw invalid(field, "is empty; it may be set, update or delete");
  const unknown = Object.keys(mutation).find((key) => !KINDS.some((known) => known === key));
  if (unknown !== undefined) {
    const shown = unknown.isWellFormed() && unknown.length <= 64 ? unknown : "(not shown)";
    throw invalid(`${field}.${shown}`, "is not a known mutation; it may be set, update or delete");
  }
  if (other !== undefined)
    throw invalid(`${field}.${other}`, `is given together with ${kind}; it may be given alone`);
  if (!isRecord(mutation[kind]))
    throw invalid(`${field}.${kind}`, "is not an object; it may be an object");
}

function invalid(field: string, problem: string): StreamError {
  return new StreamError("REQUEST_INVALID", `${field} ${problem}.`, { metadata: { field } });
}
