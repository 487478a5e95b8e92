import type { ConfigProblem } from "./validate.ts";
import { nameOf } from "./keys.ts";
import type { KeyPath } from "./tree.ts";

/** The settings of one source (the file, the environment, the flags), before validation. */
export interface Layer {
  /** Sections and values as written: plain objects, lists and scalars. */
  readonly input: unknown;
  /** Where the value of a path comes from, for people: `millrace.yaml:3`, `MILLRACE_PORT`. */
  originOf(path: KeyPath): string;
  /** The subject of sentences about a path: `millrace.yaml:3: port`, `MILLRACE_PORT`. */
  subjectOf(path: KeyPath): string;
  /** Orders sentences by their paths: the line in the file. */
  rankOf(path: KeyPath): number;
  /** Whether the value of a path, or a part of it, came from a placeholder and is never shown. */
  isHidden(path: KeyPath): boolean;
  /** Mistakes in the input that were found before its values are validated. */
  readonly findings: readonly ConfigProblem[];
  /** Sentences about other mistakes. */
  readonly problems: readonly string[];
  /** Sentences about oddities that are no reason to stop. */
  readonly warnings: readonly string[];
}

/** A layer without settings. */
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
