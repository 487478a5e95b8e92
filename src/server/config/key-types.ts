import * as z from "zod";
import type { KeyPath } from "./tree.ts";
import { DURATION, SIZE, type Unit } from "./units.ts";

/** The type of a key's value; decides how it is read from text and printed. */
export type KeyType =
  | "text"
  | "choice"
  | "integer"
  | "toggle"
  | "duration"
  | "size"
  | "list"
  | "texts"
  | "sections"
  | "map";

/** A key's description beside the values that it accepts, stored as zod metadata. */
export interface KeyNotes {
  readonly kind: KeyType;
  /** Ends the sentence "it may be ...". */
  readonly may: string;
  /** The meaning of the key: one or two sentences. */
  readonly description: string;
  /** Values are never shown. */
  readonly secret?: true;
  /** The meaning of an absent key, for keys whose default is not a value. */
  readonly absent?: string;
}

/**
 * Text of a certain form.
 *
 * @param more.accepts Checks what the pattern cannot express. Editors do not run it.
 */
export function textKey(
  pattern: RegExp,
  may: string,
  description: string,
  {
    accepts = () => true,
    ...more
  }: Pick<KeyNotes, "secret" | "absent"> & { readonly accepts?: (value: string) => boolean } = {},
) {
  return z
    .string()
    .regex(pattern)
    .refine(accepts)
    .meta(notes({ kind: "text", may, description, ...more }));
}

/** One of several words. */
export function choice<const Word extends string>(words: readonly Word[], description: string) {
  return z.enum(words).meta(notes({ kind: "choice", may: oneOf(words), description }));
}

/** An integer in a range, both ends included. */
export function integer(
  min: number,
  max: number,
  description: string,
  more: Pick<KeyNotes, "absent"> = {},
) {
  const may = `an integer from ${min} to ${max}`;
  return z
    .int()
    .min(min)
    .max(max)
    .meta(notes({ kind: "integer", may, description, ...more }));
}

/** Yes or no. */
export function toggle(description: string, more: Pick<KeyNotes, "absent"> = {}) {
  return z.boolean().meta(notes({ kind: "toggle", may: "true or false", description, ...more }));
}

/**
 * A duration with its unit, which becomes milliseconds. A bare number is refused, because its unit
 * would be a guess.
 */
export function duration(
  min: string,
  max: string,
  description: string,
  more: Pick<KeyNotes, "absent"> = {},
) {
  return z
    .string()
    .regex(DURATION.pattern)
    .transform((value) => DURATION.parse(value))
    .refine(within(DURATION, min, max))
    .meta(
      notes({
        kind: "duration",
        may: `a duration from ${min} to ${max} with its unit (ms, s, m, h or d), such as 500ms or 15s`,
        description,
        ...more,
      }),
    );
}

/** A number of bytes, bare or with a unit. */
export function size(
  min: string,
  max: string,
  description: string,
  more: Pick<KeyNotes, "absent"> = {},
) {
  return z
    .union([z.int().nonnegative(), z.string().regex(SIZE.pattern)])
    .transform((value) => (typeof value === "number" ? value : SIZE.parse(value)))
    .refine(within(SIZE, min, max))
    .meta(
      notes({
        kind: "size",
        may: `a size from ${min} to ${max}, such as 64KiB or 8MiB (B, KiB, MiB, GiB, TiB), or a number of bytes`,
        description,
        ...more,
      }),
    );
}

/** A list of texts. */
export function list<const Item extends string>(
  item: z.ZodType<Item, Item>,
  description: string,
  more: Pick<KeyNotes, "secret" | "absent"> = {},
) {
  const may = `a list, each of ${notesOf(item)?.may ?? "text"}`;
  return z.array(item).meta(notes({ kind: "list", may, description, ...more }));
}

/** A text, or a list of texts. */
export function texts(description: string, more: Pick<KeyNotes, "absent"> = {}) {
  return z
    .union([z.string(), z.array(z.string())])
    .meta(notes({ kind: "texts", may: "a text, or a list of texts", description, ...more }));
}

/** A mistake in a list or map of sections that no single key shows, at a place within it. */
export interface SectionsProblem {
  readonly path: KeyPath;
  /** The sentence after the name of the place. */
  readonly complaint: string;
  /** The same without the value, which may be secret. Absent when `complaint` does not show it. */
  readonly discreet?: string | undefined;
}

/**
 * A list of sections with the same keys. It can only be set in a file.
 *
 * @param find Finds mistakes that no single key shows. Its argument may be invalid in any way,
 *   because all mistakes are reported at once.
 */
export function sections<const Shape extends z.ZodRawShape>(
  shape: Shape,
  description: string,
  find: (found: readonly unknown[]) => readonly SectionsProblem[],
  more: Pick<KeyNotes, "absent"> = {},
) {
  const may = `a list, each of a section with ${oneOf(Object.keys(shape))}`;
  const whole = z.superRefine<readonly unknown[]>(
    (found, context) => {
      for (const { path, ...params } of Array.isArray(found) ? find(found) : [])
        context.addIssue({ code: "custom", path: [...path], params });
    },
    { when: () => true },
  );
  return z
    .array(z.strictObject(shape))
    .check(whole)
    .meta(notes({ kind: "sections", may, description, ...more }));
}

/**
 * Sections with the same keys, each under a name. It can only be set in a file.
 *
 * @param names What the names are, for the sentence "it may be sections by ...".
 * @param find Finds mistakes in the names. Its argument may be invalid in any way, because all
 *   mistakes are reported at once.
 */
export function sectionMap<const Shape extends z.ZodRawShape>(
  shape: Shape,
  names: string,
  description: string,
  find: (found: object) => readonly SectionsProblem[],
) {
  const may = `sections by ${names}, each of a section with ${oneOf(Object.keys(shape))}`;
  const whole = z.superRefine<object>(
    (found, context) => {
      const isMap = typeof found === "object" && found !== null && !Array.isArray(found);
      for (const { path, ...params } of isMap ? find(found) : [])
        context.addIssue({ code: "custom", path: [...path], params });
    },
    { when: () => true },
  );
  return z
    .record(z.string(), z.strictObject(shape))
    .check(whole)
    .meta(notes({ kind: "map", may, description }));
}

/** The notes of a type; undefined when it was not created here. */
export function notesOf(type: z.ZodType): KeyNotes | undefined {
  const meta = type.meta();
  return meta !== undefined && "kind" in meta ? (meta as unknown as KeyNotes) : undefined;
}

/** Words for a sentence: `a, b or c`. */
export function oneOf(words: readonly string[]): string {
  return words.length < 2
    ? words.join("")
    : `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
}

function notes(given: KeyNotes): KeyNotes & Record<string, unknown> {
  return { ...given };
}

function within(unit: Unit, min: string, max: string): (amount: number) => boolean {
  const [least, most] = [unit.parse(min), unit.parse(max)];
  return (amount) => amount >= least && amount <= most;
}
