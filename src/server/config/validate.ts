import { inspect } from "node:util";
import type * as z from "zod";
import { adapterFor } from "./adapter-section.ts";
import { KEYS, type Key, isEntry, keyAt, nameOf, sectionAt } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import { withoutSecretParts } from "./discretion.ts";
import { oneOf } from "./key-types.ts";
import { closestKey } from "../../core/spelling.ts";
import { valueAt } from "./tree.ts";
import { CONFIG } from "./schema.ts";

/** A mistake in a configuration. */
export interface ConfigProblem {
  /** Where it is: a key, or the section that lacks a key or has an unknown one. */
  readonly path: KeyPath;
  /** The sentence after the name of the place: `is 70000; it may be ...`. */
  readonly complaint: string;
  /**
   * The mistake without the value, which may be secret. Absent when `complaint` does not show it.
   */
  readonly discreet?: Pick<ConfigProblem, "path" | "complaint">;
}

/** Most characters of a value in a sentence. */
const MAX_SHOWN = 60;

/** Stands for a value that must not be shown. */
const NOT_SHOWN = "is invalid (not shown)";

/** All mistakes in a configuration as written; empty when it is valid. */
export function judge(input: unknown): ConfigProblem[] {
  const { error } = CONFIG.safeParse(input);
  return (error?.issues ?? []).flatMap(problemsOf(input));
}

/** An adapter, and where it was named. */
export interface NamedAdapter {
  readonly name: unknown;
  /** For people: `millrace.yaml:3`, `default`. */
  readonly origin: string;
}

/** Reports keys of one source that have no effect, because they belong to another adapter. */
export function judgeAdapter(input: unknown, { name, origin }: NamedAdapter): ConfigProblem[] {
  return KEYS.flatMap(({ path }) => {
    const needed = adapterFor(path);
    if (needed === undefined || needed === name || valueAt(input, path) === undefined) return [];
    const complaint = `has no effect while adapter.name is ${String(name)} (${origin}); remove it, or set adapter.name to ${needed}`;
    return [{ path, complaint }];
  });
}

function problemsOf(input: unknown): (issue: z.core.$ZodIssue) => ConfigProblem[] {
  return (issue) => {
    const { path } = issue;
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        complaint: unknownKeyMessage(path, key),
        discreet: {
          path,
          complaint: `has an unknown key (not shown); it may be ${oneOf(sectionAt(path) ?? [])}`,
        },
      }));
    }
    const found = issue.code === "custom" ? issue.params : undefined;
    if (found !== undefined) return [sectionsProblem(path, found)];
    return [valueProblem(path, valueAt(input, path))];
  };
}

/** A mistake that the check of a list of sections found. */
function sectionsProblem(
  path: KeyPath,
  { complaint, discreet }: Readonly<Record<string, unknown>>,
): ConfigProblem {
  const problem = { path, complaint: String(complaint) };
  return typeof discreet === "string"
    ? { ...problem, discreet: { path, complaint: `${NOT_SHOWN}; ${discreet}` } }
    : problem;
}

function unknownKeyMessage(section: KeyPath, key: string): string {
  const names = sectionAt(section) ?? [];
  const meant = closestKey(key, names);
  if (meant !== undefined) return `is not a key; did you mean ${nameOf([...section, meant])}?`;
  // It may be the right name in the wrong place.
  const elsewhere = KEYS.find(({ path }) => closestKey(key, path.slice(-1)) !== undefined);
  if (elsewhere !== undefined) return `is not a key; did you mean ${elsewhere.name}?`;
  return `is not a key; it may be ${oneOf(names)}`;
}

function valueProblem(path: KeyPath, value: unknown): ConfigProblem {
  const key = keyAt(path);
  const section = sectionAt(path);
  if (key === undefined)
    return wrongValue(
      path,
      value,
      `a section with ${section === undefined ? "keys" : oneOf(section)}`,
    );
  const may = isEntry(path) ? key.may.replace(/^.*?, each of /, "") : key.may;
  const problem = wrongValue(path, value, `${may}${hintFor(key.kind, value)}`);
  const isSecret = value !== undefined && (key.secret === true || mayBeSecret(key, value));
  return isSecret ? { ...problem, ...problem.discreet } : problem;
}

/** A mistake: the value at a place, and what it may be. */
export function wrongValue(path: KeyPath, value: unknown, may: string): ConfigProblem {
  const complaint = `${describeValue(value)}; it may be ${may}`;
  if (value === undefined || value === null) return { path, complaint };
  return { path, complaint, discreet: { path, complaint: `${NOT_SHOWN}; it may be ${may}` } };
}

/** Whether a value may be a secret that was written in the place of its section. */
function mayBeSecret({ items }: Key, value: unknown): boolean {
  return typeof value === "string" && items.some(({ secret }) => secret === true);
}

/** The most likely correction. */
function hintFor(kind: string, value: unknown): string {
  if (kind === "integer" && typeof value === "string" && /^\d+$/.test(value))
    return ", without quotes";
  if ((kind === "text" || kind === "list") && isNumberLike(value)) return ", in quotes";
  // YAML reads {user} as a section.
  if (kind === "text" && isBraced(value)) return ", in quotes";
  return "";
}

function isBraced(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((inner) => inner === null);
}

function isNumberLike(value: unknown): boolean {
  return typeof value === "number" || typeof value === "boolean";
}

/** Describes a value for sentences, without the secret parts of URLs: `is "loud"`. */
function describeValue(value: unknown): string {
  if (value === null || value === undefined) return "has no value";
  if (Array.isArray(value)) return "is a list";
  if (typeof value === "object") return "is a section";
  const text =
    typeof value === "string" ? JSON.stringify(withoutSecretParts(value)) : inspect(value);
  return `is ${text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text}`;
}
