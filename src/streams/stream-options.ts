import { MAX_TTL_MS, MIN_TTL_MS } from "../core/lifetime.ts";
import { type HistoryOptions, historyOf } from "../core/retention.ts";
import { closestKey } from "../core/spelling.ts";
import { MAX_VALUE_BYTES } from "../core/value.ts";
import { SchemaError } from "./schema-form.ts";
import { type StreamPattern, compileStreamPattern } from "./stream-pattern.ts";
import { type ValueSchema, compileSchema } from "./value-schema.ts";

/** Largest `maxItems`. */
export const MAX_MAX_ITEMS = 1_000_000_000;

/** Settings of the streams whose names match a pattern. Other patterns supply absent ones. */
export interface StreamOptions {
  /** How much history each group keeps; absent limits have the defaults of the store. */
  readonly history?: HistoryOptions | undefined;
  /** Lifetime of items that are written without one, in milliseconds, 1 s to 10 years. Default: none. */
  readonly ttlMs?: number | undefined;
  /**
   * Most items in a group; the oldest created ones are deleted within a second of the write that
   * exceeds it. 1 to 1,000,000,000. Default: no limit. Not for custom streams.
   */
  readonly maxItems?: number | undefined;
  /** JSON Schema (draft 2020-12) that values have to fit. Default: none. */
  readonly schema?: object | boolean | undefined;
  /** Largest value, in bytes, as JSON and as an encoded `google.protobuf.Value`. Default 1 MiB. */
  readonly maxValueBytes?: number | undefined;
  /** Whether subscribers may be present. Default true. */
  readonly presence?: boolean | undefined;
  /** Whether users see the authors of changes, events and items. Default false. */
  readonly authors?: boolean | undefined;
}

/**
 * Settings of streams by pattern: the name of a stream, or a prefix and a star. All that match a
 * stream are merged key by key; for each key the longest pattern that has it decides.
 */
export type StreamsOptions = Readonly<Record<string, StreamOptions>>;

/** A pattern with its settings, checked and compiled. */
export interface StreamEntry extends Omit<StreamOptions, "schema"> {
  readonly pattern: StreamPattern;
  readonly schema: ValueSchema | undefined;
}

/**
 * An invalid setting of streams. The message is a sentence for the operator.
 *
 * @internal Exported for tests.
 */
export class StreamSettingError extends Error {
  override readonly name = "StreamSettingError";
  /** The pattern, then the key, if one is invalid. */
  readonly path: readonly string[];
  /** The rest of the sentence, after the name of the place. */
  readonly problem: string;

  constructor(path: readonly string[], problem: string) {
    const [pattern, ...keys] = path;
    super(
      `streams[${JSON.stringify(pattern)}]${keys.map((key) => `.${key}`).join("")} ${problem}.`,
    );
    this.path = path;
    this.problem = problem;
  }
}

const KEYS = ["history", "ttlMs", "maxItems", "schema", "maxValueBytes", "presence", "authors"];

/** Checks and compiles settings. @throws StreamSettingError */
export function streamEntriesOf(options: StreamsOptions): readonly StreamEntry[] {
  return Object.entries(options).map(([pattern, given]) => entryOf(pattern, given));
}

function entryOf(pattern: string, given: StreamOptions): StreamEntry {
  for (const key of Object.keys(given)) {
    if (KEYS.includes(key)) continue;
    const meant = closestKey(key, KEYS);
    const help = meant === undefined ? `it may be ${KEYS.join(", ")}` : `it may be ${meant}`;
    throw new StreamSettingError([pattern, key], `is not a setting; ${help}`);
  }
  const { ttlMs, maxItems, maxValueBytes, presence, authors } = given;
  checkInteger([pattern, "ttlMs"], ttlMs, MIN_TTL_MS, MAX_TTL_MS);
  checkInteger([pattern, "maxItems"], maxItems, 1, MAX_MAX_ITEMS);
  checkInteger([pattern, "maxValueBytes"], maxValueBytes, 1, MAX_VALUE_BYTES);
  checkToggle([pattern, "presence"], presence);
  checkToggle([pattern, "authors"], authors);
  checkHistory(pattern, given.history);
  return {
    pattern: patternOf(pattern),
    ...{ history: given.history, ttlMs, maxItems, maxValueBytes, presence, authors },
    schema: given.schema === undefined ? undefined : schemaOf(pattern, given.schema),
  };
}

function patternOf(text: string): StreamPattern {
  try {
    return compileStreamPattern(text);
  } catch (error) {
    throw problemAt([text], error, SyntaxError);
  }
}

function schemaOf(pattern: string, schema: object | boolean): ValueSchema {
  try {
    return compileSchema(schema);
  } catch (error) {
    throw problemAt([pattern, "schema"], error, SchemaError);
  }
}

function checkHistory(pattern: string, history: HistoryOptions | undefined): void {
  try {
    historyOf(history);
  } catch (error) {
    const known =
      error instanceof RangeError ? /^history\.(\w+) (.*)\.$/s.exec(error.message) : null;
    if (known === null) throw error;
    throw new StreamSettingError([pattern, "history", known[1] ?? ""], known[2] ?? "");
  }
}

function problemAt(
  path: readonly string[],
  error: unknown,
  known: abstract new () => Error,
): unknown {
  return error instanceof known ? new StreamSettingError(path, error.message) : error;
}

function checkInteger(path: readonly string[], value: unknown, min: number, max: number): void {
  if (value === undefined) return;
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw new StreamSettingError(
    path,
    `is ${JSON.stringify(value)}; it may be an integer from ${min} to ${max}`,
  );
}

function checkToggle(path: readonly string[], value: unknown): void {
  if (value === undefined || typeof value === "boolean") return;
  throw new StreamSettingError(path, `is ${JSON.stringify(value)}; it may be true or false`);
}
