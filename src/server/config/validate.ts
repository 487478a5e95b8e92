import { inspect } from "node:util";
import type * as z from "zod";
import { adapterFor } from "./adapter-section.ts";
import { KEYS, type Key, keyAt, nameOf, sectionAt } from "./keys.ts";
import type { Path } from "./tree.ts";
import { withoutSecretParts } from "./discretion.ts";
import { oneOf } from "./key-types.ts";
import { meantBy } from "../../core/spelling.ts";
import { valueAt } from "./tree.ts";
import { CONFIG } from "./schema.ts";

/** Something wrong with a configuration. */
export interface Problem {
  /** Where: a key, or the section that lacks or has one too many. */
  readonly path: Path;
  /** What is wrong there, to be said after the name of the place: `is 70000; it may be ...`. */
  readonly complaint: string;
  /** The same, for when what stands there is not to be shown. Absent when the complaint shows nothing of it. */
  readonly discreet?: Pick<Problem, "path" | "complaint">;
}

/** Longest value that is shown in a sentence. */
const MAX_SHOWN = 60;

/** Takes the place of a value that is not shown. */
const NOT_SHOWN = "is wrong (it is not shown here)";

/** All that is wrong with a configuration as it was written; empty when it may be used. */
export function judge(input: unknown): Problem[] {
  const { error } = CONFIG.safeParse(input);
  return (error?.issues ?? []).flatMap(problemsOf(input));
}

/** An adapter, and where it is named. */
export interface NamedAdapter {
  readonly name: unknown;
  /** For people: `millrace.yaml:3`, `default`. */
  readonly origin: string;
}

/** The keys of one source that would have no effect, because they are for another adapter. */
export function judgeAdapter(input: unknown, { name, origin }: NamedAdapter): Problem[] {
  return KEYS.flatMap(({ path }) => {
    const needed = adapterFor(path);
    if (needed === undefined || needed === name || valueAt(input, path) === undefined) return [];
    const complaint = `has no effect while adapter.name is ${String(name)} (${origin}); remove it, or let adapter.name be ${needed}`;
    return [{ path, complaint }];
  });
}

function problemsOf(input: unknown): (issue: z.core.$ZodIssue) => Problem[] {
  return (issue) => {
    const { path } = issue;
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        complaint: strangerComplaint(path, key),
        discreet: {
          path,
          complaint: `has a key that is none (it is not shown here); it may be ${oneOf(sectionAt(path) ?? [])}`,
        },
      }));
    }
    const found: unknown = issue.code === "custom" ? issue.params?.["complaint"] : undefined;
    if (typeof found === "string") return [{ path, complaint: found }];
    return [valueProblem(path, valueAt(input, path))];
  };
}

function strangerComplaint(section: Path, key: string): string {
  const names = sectionAt(section) ?? [];
  const meant = meantBy(key, names);
  if (meant !== undefined) return `is not a key; did you mean ${nameOf([...section, meant])}?`;
  // Perhaps the right name, in the wrong place.
  const elsewhere = KEYS.find(({ path }) => meantBy(key, path.slice(-1)) !== undefined);
  if (elsewhere !== undefined) return `is not a key; did you mean ${elsewhere.name}?`;
  return `is not a key; it may be ${oneOf(names)}`;
}

function valueProblem(path: Path, value: unknown): Problem {
  const key = keyAt(path);
  const section = sectionAt(path);
  if (key === undefined)
    return wrongValue(
      path,
      value,
      `a section with ${section === undefined ? "keys" : oneOf(section)}`,
    );
  const isItem = typeof path.at(-1) === "number";
  const may = isItem ? key.may.replace("a list, each of ", "") : key.may;
  const problem = wrongValue(path, value, `${may}${hintFor(key.kind, value)}`);
  const isSecret = value !== undefined && (key.secret === true || mayBeSecret(key, value));
  return isSecret ? { ...problem, ...problem.discreet } : problem;
}

/** A value that a place may not have, and what it may. */
export function wrongValue(path: Path, value: unknown, may: string): Problem {
  const complaint = `${shown(value)}; it may be ${may}`;
  if (value === undefined || value === null) return { path, complaint };
  return { path, complaint, discreet: { path, complaint: `${NOT_SHOWN}; it may be ${may}` } };
}

/** Whether a value is perhaps the secret of a section in whose place it stands. */
function mayBeSecret({ items }: Key, value: unknown): boolean {
  return typeof value === "string" && items.some(({ secret }) => secret === true);
}

/** What people who meant well most likely have to do. */
function hintFor(kind: string, value: unknown): string {
  if (kind === "integer" && typeof value === "string" && /^\d+$/.test(value))
    return ", without quotes";
  if ((kind === "text" || kind === "list") && isNumberLike(value)) return ", in quotes";
  return "";
}

function isNumberLike(value: unknown): boolean {
  return typeof value === "number" || typeof value === "boolean";
}

/** What a value is, for sentences, without the secret parts of URLs: `is "loud"`. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return "has no value";
  if (Array.isArray(value)) return "is a list";
  if (typeof value === "object") return "is a section";
  const text =
    typeof value === "string" ? JSON.stringify(withoutSecretParts(value)) : inspect(value);
  return `is ${text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text}`;
}
