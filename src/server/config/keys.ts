import type { KeyPath } from "./tree.ts";
import * as z from "zod";
import { type KeyNotes, notesOf } from "./key-types.ts";
import { CONFIG } from "./schema.ts";

/** A key that holds a value or a list, not a section of further keys. */
export interface Key extends KeyNotes {
  readonly path: readonly string[];
  /** For example `history.max_age`, or `functions[].url` for one of a list of sections. */
  readonly name: string;
  /**
   * The environment variable that sets it, for example `MILLRACE_HISTORY_MAX_AGE`; undefined when
   * only a file can set it.
   */
  readonly variable: string | undefined;
  /** Default as it would be written in a file; undefined when there is no such value. */
  readonly fallback: unknown;
  /** The keys of each section, for a list of sections; otherwise empty. */
  readonly items: readonly Key[];
}

/** Prefix of all environment variables of the project. */
export const PREFIX = "MILLRACE_";

/** All keys, in the order of the schema. */
export const KEYS: readonly Key[] = keysOf(CONFIG, []);

/** All keys, also those of sections in lists, at any depth. */
const ALL_KEYS: readonly Key[] = KEYS.flatMap(withItems);

/** Name of a path, for sentences: `api_tokens[0]`, `history.max_age`. */
export function nameOf(path: KeyPath): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${shownKey(String(part))}`))
    .join("")
    .replace(/^\./, "");
}

/** Unknown keys may hold any characters: those with invisible ones are quoted and escaped. */
function shownKey(key: string): string {
  return /[\s\p{C}]/u.test(key) || key === "" ? JSON.stringify(key) : key;
}

/** The name of the environment variable for a key: its path in capitals. */
export function variableOf(name: string): string {
  return PREFIX + name.toUpperCase().replaceAll(".", "_");
}

/** The key at a path, or whose list the path leads into. */
export function keyAt(path: KeyPath): Key | undefined {
  const names = path.filter((part) => typeof part !== "number");
  const name = nameOf(names);
  return ALL_KEYS.find((key) => nameOf(key.path) === name);
}

/** The key with a name such as `history.max_age`. @throws Error when there is none. */
export function keyNamed(name: string): Key {
  const key = KEYS.find((candidate) => candidate.name === name);
  if (key === undefined) throw new Error(`${name} is not a key of the configuration.`);
  return key;
}

/** The names of the keys of a section; undefined when the path is not a section. */
export function sectionAt(path: KeyPath): readonly string[] | undefined {
  let type: z.ZodType = CONFIG;
  for (const part of path) {
    if (type instanceof z.ZodArray && typeof part === "number") {
      type = type.element as z.ZodType;
      continue;
    }
    if (!(type instanceof z.ZodObject)) return undefined;
    const next = (type.shape as Readonly<Record<string, z.ZodType>>)[String(part)];
    if (next === undefined) return undefined;
    type = unwrap(next).type;
  }
  return type instanceof z.ZodObject ? Object.keys(type.shape) : undefined;
}

function withItems(key: Key): readonly Key[] {
  return [key, ...key.items.flatMap(withItems)];
}

function keysOf(section: z.ZodObject, path: readonly string[]): Key[] {
  return Object.entries(section.shape).flatMap(([part, given]) => {
    const { type, fallback } = unwrap(given as z.ZodType);
    const below = [...path, part];
    if (type instanceof z.ZodObject) return keysOf(type, below);
    const notes = notesOf(type);
    const name = nameOf(below);
    if (notes === undefined) throw new Error(`${name} does not say what it may be.`);
    const items = notes.kind === "sections" ? itemsOf(type, below) : [];
    const variable = notes.kind === "sections" ? undefined : variableOf(name);
    return [{ ...notes, path: below, name, variable, fallback, items }];
  });
}

/** The keys of the sections of a list. */
function itemsOf(list: z.ZodType, path: readonly string[]): Key[] {
  const section = list instanceof z.ZodArray ? list.element : undefined;
  if (!(section instanceof z.ZodObject)) return [];
  return keysOf(section, path).map((key) => itemOf(nameOf(path), key));
}

/** A key of the sections of a list, whose own items are below it. */
function itemOf(list: string, key: Key): Key {
  const name = key.name.replace(`${list}.`, `${list}[].`);
  return { ...key, name, variable: undefined, items: key.items.map((item) => itemOf(list, item)) };
}

/** The type behind its optional or default wrapper, and the default. */
function unwrap(given: z.ZodType): { readonly type: z.ZodType; readonly fallback?: unknown } {
  if (given instanceof z.ZodOptional) return { type: given.unwrap() as z.ZodType };
  if (!(given instanceof z.ZodPrefault)) return { type: given };
  return { type: given.unwrap() as z.ZodType, fallback: given.def.defaultValue };
}
