import type { KeyPath } from "./tree.ts";
import * as z from "zod";
import { type KeyNotes, notesOf } from "./key-types.ts";
import { CONFIG } from "./schema.ts";

/** A key that holds a value or a list, not a section of further keys. */
export interface Key extends KeyNotes {
  readonly path: readonly string[];
  /**
   * For example `history.max_age`, `functions[].url` for one of a list of sections, or
   * `streams.NAME.ttl` for one of a map.
   */
  readonly name: string;
  /**
   * The environment variable that sets it, for example `MILLRACE_HISTORY_MAX_AGE`; undefined when
   * only a file can set it.
   */
  readonly variable: string | undefined;
  /** Default as it would be written in a file; undefined when there is no such value. */
  readonly fallback: unknown;
  /** The keys of each section, for a list or map of sections; otherwise empty. */
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

/** The key at a path, or whose list or map the path leads into. */
export function keyAt(path: KeyPath): Key | undefined {
  const name = nameOf(withoutEntries(path));
  return ALL_KEYS.find((key) => nameOf(key.path) === name);
}

/** Whether a path leads to an entry of a list or map, not to a key of it. */
export function isEntry(path: KeyPath): boolean {
  return withoutEntries(path).length === withoutEntries(path.slice(0, -1)).length;
}

/** A path without indices of lists and names of maps. */
function withoutEntries(path: KeyPath): KeyPath {
  let type: z.ZodType | undefined = CONFIG;
  return path.filter((part) => {
    const above: z.ZodType | undefined = type;
    type = above === undefined ? undefined : typeBelow(above, part);
    return typeof part !== "number" && !(above instanceof z.ZodRecord);
  });
}

/** The type of a part of a section, list or map; undefined when there is none. */
function typeBelow(type: z.ZodType, part: PropertyKey): z.ZodType | undefined {
  if (type instanceof z.ZodArray && typeof part === "number") return type.element as z.ZodType;
  if (type instanceof z.ZodRecord) return type.valueType as z.ZodType;
  if (!(type instanceof z.ZodObject)) return undefined;
  const next = (type.shape as Readonly<Record<string, z.ZodType>>)[String(part)];
  return next === undefined ? undefined : unwrap(next).type;
}

/** The key with a name such as `history.max_age`. @throws Error when there is none. */
export function keyNamed(name: string): Key {
  const key = KEYS.find((candidate) => candidate.name === name);
  if (key === undefined) throw new Error(`${name} is not a key of the configuration.`);
  return key;
}

/** The names of the keys of a section; undefined when the path is not a section. */
export function sectionAt(path: KeyPath): readonly string[] | undefined {
  let type: z.ZodType | undefined = CONFIG;
  for (const part of path) {
    type = typeBelow(type, part);
    if (type === undefined) return undefined;
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
    const hasSections = notes.kind === "sections" || notes.kind === "map";
    const items = hasSections ? itemsOf(type, below) : [];
    const variable = hasSections ? undefined : variableOf(name);
    return [{ ...notes, path: below, name, variable, fallback, items }];
  });
}

/** The keys of the sections of a list or map. */
function itemsOf(group: z.ZodType, path: readonly string[]): Key[] {
  const section =
    group instanceof z.ZodArray
      ? group.element
      : group instanceof z.ZodRecord
        ? group.valueType
        : undefined;
  if (!(section instanceof z.ZodObject)) return [];
  const entry = group instanceof z.ZodArray ? "[]" : ".NAME";
  return keysOf(section, path).map((key) => itemOf(nameOf(path), entry, key));
}

/** A key of the sections of a list or map, whose own items are below it. */
function itemOf(group: string, entry: string, key: Key): Key {
  const name = key.name.replace(`${group}.`, `${group}${entry}.`);
  const items = key.items.map((item) => itemOf(group, entry, item));
  return { ...key, name, variable: undefined, items };
}

/** The type behind its optional or default wrapper, and the default. */
function unwrap(given: z.ZodType): { readonly type: z.ZodType; readonly fallback?: unknown } {
  if (given instanceof z.ZodOptional) return { type: given.unwrap() as z.ZodType };
  if (!(given instanceof z.ZodPrefault)) return { type: given };
  return { type: given.unwrap() as z.ZodType, fallback: given.def.defaultValue };
}
