import { epochMismatch, revisionMismatch, revisionsUsedUp } from "../../core/commit.ts";
import { idempotencyMismatch, rememberedFrom, repetitionOf } from "../../core/idempotency.ts";
import type { StreamError } from "../../core/errors.ts";
import { ORIGIN } from "../../core/position.ts";
import type { Remembered } from "../../core/idempotency-key.ts";
import type { Commit, Mutation, MutationResult, Outcome } from "../../core/store.ts";
import { isNothing } from "./batch-args.ts";
import { textOf, unpackValue } from "./encoding.ts";

/** Reads what is remembered under a key; undefined: nothing. */
export function unpackRemembered(reply: unknown): Remembered | undefined {
  return Buffer.isBuffer(reply) ? rememberedFrom(reply.toString()) : undefined;
}

/**
 * The outcome of a commit that the script ran.
 *
 * @param decided Its results, if it was decided in this process.
 * @param reply The script's reply to it.
 * @param epoch Epoch of the group.
 */
export function outcomeOf(
  commit: Commit,
  decided: readonly MutationResult[] | undefined,
  reply: readonly unknown[],
  epoch: string,
): Outcome {
  const [status, first, second] = reply;
  if (status === 4 && commit.idempotency !== undefined)
    return repetitionOf(commit.idempotency, rememberedFrom(textOf(first)));
  if (status !== 0) return { ok: false, error: refusalOf(commit, status, first, second) };
  const revisionNow = Number(first);
  const position = revisionNow === 0 ? ORIGIN : { epoch, revision: revisionNow };
  let at = 2;
  const results = commit.mutations.map((mutation, i): MutationResult => {
    const revision = isNothing(mutation) ? 0 : Number(reply[at++]);
    const old = isNothing(mutation) ? undefined : reply[at++];
    const changed = revision === 0 ? undefined : revision;
    const known = decided?.[i];
    if (known !== undefined) return { ...known, revision: changed };
    return { revision: changed, ...valuesOf(mutation, old) };
  });
  return { ok: true, position, results };
}

function valuesOf(mutation: Mutation, old: unknown): Omit<MutationResult, "revision"> {
  const oldValue = Buffer.isBuffer(old) ? unpackValue(old) : undefined;
  switch (mutation.kind) {
    case "put":
      return { oldValue, newValue: mutation.value, errors: [] };
    case "record":
      return {
        oldValue: mutation.before,
        newValue: mutation.after,
        errors: mutation.errors ?? [],
      };
    default:
      return { oldValue, newValue: undefined, errors: [] };
  }
}

/** The error for the script's refusal. */
function refusalOf(commit: Commit, status: unknown, first: unknown, second: unknown): StreamError {
  switch (status) {
    case 1: {
      const passed = commit.mutations.filter((mutation) => !isNothing(mutation));
      const index = commit.mutations.indexOf(passed[Number(first)] as Mutation);
      return revisionMismatch(commit, index, Number(second));
    }
    case 2:
      return epochMismatch(textOf(first));
    case 5:
      return idempotencyMismatch();
    default:
      return revisionsUsedUp();
  }
}
