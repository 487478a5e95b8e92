import type { Problem } from "./validate.ts";
import { nameOf } from "./keys.ts";
import type { Path } from "./tree.ts";

/** What one source (the file, the environment, the flags) says, before it is judged. */
export interface Layer {
  /** Sections and values as written: plain objects, lists and scalars. */
  readonly input: unknown;
  /** Where the value of a path comes from, for people: `millrace.yaml:3`, `MILLRACE_PORT`. */
  originOf(path: Path): string;
  /** How a sentence about it begins: `millrace.yaml:3: port`, `MILLRACE_PORT`. */
  subjectOf(path: Path): string;
  /** Sorts what is said about places: the line in the file. */
  rankOf(path: Path): number;
  /** Whether the value of a path, or a part of it, came from a placeholder: such values are never shown. */
  isHidden(path: Path): boolean;
  /** What is wrong at places of the input, before its values are looked at. */
  readonly findings: readonly Problem[];
  /** Sentences about what is wrong elsewhere. */
  readonly problems: readonly string[];
  /** Sentences about what is odd, but no reason to stop. */
  readonly warnings: readonly string[];
}

/** A layer that says nothing. */
export const NO_LAYER: Layer = {
  input: {},
  originOf: nameOf,
  subjectOf: nameOf,
  rankOf: () => 0,
  isHidden: () => false,
  findings: [],
  problems: [],
  warnings: [],
};
