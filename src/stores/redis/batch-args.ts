import { NO_AUTHOR } from "../../core/author.ts";
import type { Delta } from "../../core/delta.ts";
import type { Cause } from "../../core/lifetime.ts";
import { keyIdOf } from "../../core/idempotency.ts";
import type { Idempotency } from "../../core/idempotency-key.ts";
import type { Broadcast, Commit, Mutation } from "../../core/store.ts";
import type { Firing } from "../../core/outbox.ts";
import { encodeFiring } from "./encoding.ts";

/**
 * The conditions under which a group's part of a batch is executed: the state it was decided on.
 */
export interface Guards {
  /** Epoch of the group. */
  readonly epoch: string;
  /** Item -> revision that it must have; 0: it must not exist. */
  readonly revisions: ReadonlyMap<string, number>;
  /** Ids of idempotency keys that must not be remembered. */
  readonly newKeys: readonly string[];
}

/** Where the script finds the idempotency keys of a group. */
export interface KeysPlace {
  /** Place of their hash among the keys of the script, from the end. */
  readonly place: number;
  /** How long they are remembered, in milliseconds. */
  readonly windowMs: number;
}

/** One operation on a group. */
export type Entry =
  | { readonly kind: "commit"; readonly commit: PlainCommit }
  | { readonly kind: "broadcast"; readonly message: Broadcast };

/** A commit that the script can run on its own. */
export interface PlainCommit {
  readonly mutations: readonly PlainMutation[];
  readonly expectedEpoch: string | undefined;
  readonly author?: string | undefined;
  readonly idempotency?: Idempotency | undefined;
}

/** A mutation without anything to compute. */
export type PlainMutation =
  | Exclude<Mutation, { readonly kind: "reduce" | "put" }>
  | (Extract<Mutation, { readonly kind: "put" }> & {
      /** The steps of an update, on the current item. */
      readonly delta?: Delta | undefined;
      /** Whether the item keeps what its lifetime does not say. Default false. */
      readonly keepsLifetime?: boolean | undefined;
    });

/** Whether the script can run it on its own, without computing values or counters. */
export function isPlain(commit: Commit): commit is Commit & PlainCommit {
  return (
    commit.maxReturnBytes === undefined && commit.mutations.every(({ kind }) => kind !== "reduce")
  );
}

/** Whether a mutation has no effect: it is not passed to the script. */
export function isNothing(mutation: Mutation): boolean {
  return (
    mutation.kind === "record" && mutation.before === undefined && mutation.after === undefined
  );
}

/** Writes a group's part of the arguments of the commit script (see lua/commit.lua). */
export function writeGroup(
  args: string[],
  text: string,
  newEpoch: string,
  guards: Guards | undefined,
  entries: readonly Entry[],
  keys: KeysPlace,
): void {
  const countAt = args.length;
  args.push("", text, newEpoch);
  if (guards === undefined) args.push("-1");
  else {
    const { revisions, newKeys } = guards;
    args.push(String(revisions.size + newKeys.length), guards.epoch);
    for (const [itemId, revision] of revisions) args.push(itemId, String(revision));
    for (const id of newKeys) args.push(id, `K${keys.place} ${keys.windowMs}`);
  }
  args.push(String(entries.length));
  for (const entry of entries) {
    if (entry.kind === "commit") writeCommit(args, entry.commit, keys);
    else writeBroadcast(args, entry.message);
  }
  args[countAt] = String(args.length - countAt - 1);
}

/** Writes the letter of an entry, with its author if it has one. */
function writeLetter(args: string[], letter: "C" | "S" | "Q", author = NO_AUTHOR): void {
  if (author === NO_AUTHOR) args.push(letter);
  else args.push(`${letter}A`, author);
}

function writeCommit(args: string[], commit: PlainCommit, keys: KeysPlace): void {
  const { mutations, expectedEpoch, author, idempotency } = commit;
  const passed = mutations.filter((mutation) => !isNothing(mutation));
  const letterAt = args.length;
  writeLetter(args, "C", author);
  if (idempotency !== undefined) {
    args[letterAt] += "K";
    const { place, windowMs } = keys;
    args.push(String(place), String(windowMs), keyIdOf(idempotency), idempotency.fingerprint);
  }
  args.push(String(passed.length), expectedEpoch === undefined ? "" : `=${expectedEpoch}`);
  for (const mutation of passed) writeMutation(args, mutation);
}

function writeMutation(args: string[], mutation: PlainMutation): void {
  const { itemId, expectedRevision, fires } = mutation;
  const letter = LETTERS[mutation.kind];
  const expects = expectedRevision === undefined ? "" : "e";
  const delta = mutation.kind === "delete" ? undefined : mutation.delta;
  const flags = `${fires === undefined ? "" : "f"}${delta === undefined ? "" : "d"}`;
  args.push(`${letter}${expects}${flags}${lifetimeFlags(mutation)}`, itemId);
  if (expectedRevision !== undefined) args.push(String(expectedRevision));
  if (fires !== undefined) args.push(firingText(fires));
  if (mutation.kind === "delete") {
    const { onlyIf, cause } = mutation;
    if (onlyIf !== undefined)
      args.push(
        optional(onlyIf.expireTimeMs),
        optional(onlyIf.connection),
        optional(onlyIf.revision),
        optional(onlyIf.maxCreatedRevision),
      );
    if (cause !== undefined) args.push(CAUSE_CODES[cause]);
  }
  if (mutation.kind === "put") args.push(String(mutation.value.size), mutation.value.text);
  if (mutation.kind === "record") {
    const { before, after } = mutation;
    const value = after ?? before;
    args.push(String(value?.size ?? 0), value?.text ?? "");
    args.push(after === undefined ? "2" : before === undefined ? "0" : "1");
  }
  if (delta !== undefined)
    args.push(mutation.kind === "record" ? String(delta.baseRevision) : "", delta.text);
  if (mutation.kind === "put" && mutation.lifetime !== undefined)
    args.push(optional(mutation.lifetime.ttlMs), optional(mutation.lifetime.connection));
}

const CAUSE_CODES: Readonly<Record<Cause, string>> = {
  expired: "1",
  disconnected: "2",
  evicted: "3",
};

function lifetimeFlags(mutation: PlainMutation): string {
  switch (mutation.kind) {
    case "put":
      return `${mutation.lifetime === undefined ? "" : "l"}${mutation.keepsLifetime === true ? "k" : ""}`;
    case "delete":
      return `${mutation.onlyIf === undefined ? "" : "o"}${mutation.cause === undefined ? "" : "c"}`;
    case "record":
      return "";
  }
}

/** A value that may be absent, as an argument. */
function optional(value: string | number | undefined): string {
  return value === undefined ? "" : String(value);
}

const LETTERS = { put: "P", delete: "D", record: "R" } as const;

function writeBroadcast(args: string[], message: Broadcast): void {
  const { type, itemId, value, author, fires, isQuiet = false } = message;
  writeLetter(args, isQuiet ? "Q" : "S", author);
  args.push(type, itemId === undefined ? "" : `=${itemId}`);
  args.push(String(value.size), value.text, fires === undefined ? "" : firingText(fires));
}

function firingText({ triggers, depth }: Firing): string {
  return encodeFiring(triggers, depth);
}
