import { StreamError } from "./errors.ts";
import type { Position } from "./position.ts";
import type { Idempotency, Remembered } from "./idempotency-key.ts";
import type { Committed, MutationResult } from "./store.ts";

/*
 * Idempotency keys: what a store remembers of a commit that has one, and for how long. The commit
 * and the memory of it are one atomic step, so a repetition finds either both or none of them.
 */

/** Most keys that a group remembers; the oldest are dropped. */
export const MAX_KEYS = 10_000;

/** How long a key is remembered by default, in milliseconds. */
export const DEFAULT_IDEMPOTENCY_WINDOW_MS = 600_000;

/** A hundred years: sums with the clock stay safe integers. */
const MAX_WINDOW_MS = 100 * 365 * 24 * 3_600_000;

/** The window of a store. @throws RangeError */
export function idempotencyWindowOf(given = DEFAULT_IDEMPOTENCY_WINDOW_MS): number {
  if (Number.isSafeInteger(given) && given >= 1 && given <= MAX_WINDOW_MS) return given;
  throw new RangeError(
    `idempotencyWindowMs is ${given}; it may be an integer from 1 to ${MAX_WINDOW_MS}.`,
  );
}

/** What a commit did to the item of one mutation: created it, changed or removed it, or nothing. */
type Effect = "c" | "u" | "-";

/** The keys of a group as its retention sees them. */
export interface KeysExtent {
  readonly count: number;
  /** When the oldest was remembered, Unix milliseconds. Meaningless while there is none. */
  readonly oldestMs: number;
}

/** One text for a caller and its key: different callers and keys never have the same. */
export function keyIdOf({ caller, key }: Idempotency): string {
  return `${caller.length}:${caller}${key}`;
}

/** Whether a key is no longer in force. @param timeMs When it was remembered. */
export function isKeyExpired(timeMs: number, nowMs: number, windowMs: number): boolean {
  return nowMs - timeMs >= windowMs;
}

/** Whether a group must forget its oldest key. */
export function mustForgetKey(keys: KeysExtent, nowMs: number, windowMs: number): boolean {
  if (keys.count === 0) return false;
  return keys.count > MAX_KEYS || isKeyExpired(keys.oldestMs, nowMs, windowMs);
}

/**
 * When an idle group is to be swept for its keys; undefined: it has none. Some time after the oldest
 * one has expired, so that one sweep removes many.
 */
export function keysSweepMs({ count, oldestMs }: KeysExtent, windowMs: number): number | undefined {
  return count === 0 ? undefined : oldestMs + windowMs + Math.ceil(windowMs / 8);
}

/** What to remember of a commit that took effect. */
export function rememberedOf(
  { fingerprint }: Idempotency,
  position: Position,
  results: readonly MutationResult[],
): Remembered {
  return { fingerprint, position, effects: results.map(effectOf).join("") };
}

function effectOf({ revision, oldValue }: MutationResult): Effect {
  if (revision === undefined) return "-";
  return oldValue === undefined ? "c" : "u";
}

/**
 * The outcome of a commit whose key is remembered: that of the first one, without values.
 *
 * @throws StreamError IDEMPOTENCY_MISMATCH when the key was that of another request.
 */
export function repetitionOf(
  { fingerprint }: Idempotency,
  { fingerprint: first, position, effects }: Remembered,
): Committed {
  if (fingerprint !== first) throw idempotencyMismatch();
  let revision = position.revision - effects.replaceAll("-", "").length;
  const results = Array.from(effects, (effect): MutationResult => {
    if (effect !== "-") revision += 1;
    return {
      revision: effect === "-" ? undefined : revision,
      created: effect === "c",
      ...WITHOUT_VALUES,
    };
  });
  return { ok: true, position, results, deduplicated: true };
}

const WITHOUT_VALUES = Object.freeze({
  oldValue: undefined,
  newValue: undefined,
  errors: Object.freeze([]),
});

/** The refusal of a commit whose key was that of another request. */
export function idempotencyMismatch(): StreamError {
  return new StreamError(
    "IDEMPOTENCY_MISMATCH",
    "idempotency_key is that of another write of this group by the same caller; it may be a new one, or that write may be repeated unchanged.",
    { metadata: { field: "idempotency_key" } },
  );
}

/** The form in which stores keep it: revision, effects, fingerprint and epoch, separated by spaces. */
export function rememberedText({ fingerprint, position, effects }: Remembered): string {
  return `${position.revision} ${effects} ${fingerprint} ${position.epoch}`;
}

/** Reads what rememberedText wrote. */
export function rememberedFrom(text: string): Remembered {
  const [, revision = "0", effects = "", fingerprint = "", epoch = ""] = FORM.exec(text) ?? [];
  return { fingerprint, position: { epoch, revision: Number(revision) }, effects };
}

const FORM = /^(\d+) ([cu-]*) (\S*) (.*)$/s;
