import type { Json } from "../core/value.ts";

/** An invalid schema. The message is the rest of a sentence that begins with its place. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** Keyword that burns fuel wherever a subschema is applied: `[steps, whether the value is counted]`. */
export const STEP = "millrace:step";

/** The version of JSON Schema. */
const DIALECT = "https://json-schema.org/draft/2020-12/schema";

/** Keywords whose value is a schema. */
const SCHEMA = [
  "additionalProperties",
  "contains",
  "contentSchema",
  "else",
  "if",
  "items",
  "not",
  "propertyNames",
  "then",
  "unevaluatedItems",
  "unevaluatedProperties",
];
/** Keywords whose value is a list of schemas. */
const LISTS = ["allOf", "anyOf", "oneOf", "prefixItems"];
/** Keywords whose value has schemas by name. */
const MAPS = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
const APPLICATORS = new Set([...SCHEMA, ...LISTS, ...MAPS]);

/** Keywords that cost more for each member or character of the value, without applying a schema. */
const COUNTING = [
  "additionalProperties",
  "maxLength",
  "maxProperties",
  "minLength",
  "minProperties",
  "propertyNames",
  "unevaluatedItems",
  "unevaluatedProperties",
];

/** Characters in a schema's own keywords per step that applying it costs. */
const TEXT_PER_STEP = 64;

type SchemaObject = Record<string, Json>;

/**
 * Checks what the compiler of schemas does not, and makes every subschema burn fuel.
 *
 * References may only lead to parts of the same schema that are schemas themselves, so their
 * targets burn fuel, too.
 *
 * @returns A copy with the keyword STEP in every subschema.
 * @throws SchemaError
 */
export function fueledSchema(schema: unknown): SchemaObject | boolean {
  const root = copyOf(schema);
  if (typeof root === "boolean") return root;
  const found = subschemasOf(root);
  const anchors = new Set<Json>();
  for (const { schema: sub, place } of found) {
    checkOwn(sub, place);
    for (const key of ["$anchor", "$dynamicAnchor"]) if (key in sub) anchors.add(sub[key] as Json);
  }
  const targets = new Set<unknown>(found.map(({ schema: sub }) => sub));
  for (const { schema: sub, place } of found) {
    for (const key of ["$ref", "$dynamicRef"]) {
      if (key in sub) checkReference(sub[key] as Json, `${place}/${key}`, root, targets, anchors);
    }
  }
  for (const { schema: sub } of found) sub[STEP] = stepsOf(sub);
  return root;
}

function copyOf(schema: unknown): SchemaObject | boolean {
  let text: string | undefined;
  try {
    text = JSON.stringify(schema);
  } catch {
    throw new SchemaError("is not JSON; it may be a JSON Schema");
  }
  const copy = text === undefined ? undefined : (JSON.parse(text) as Json);
  if (typeof copy === "boolean" || isObject(copy)) return copy;
  throw new SchemaError(
    "is neither an object nor a boolean; it may be a JSON Schema (draft 2020-12)",
  );
}

interface Subschema {
  readonly schema: SchemaObject;
  /** JSON pointer. */
  readonly place: string;
}

/** The schema, and all schemas that it applies or defines, at any depth. */
function subschemasOf(root: SchemaObject): readonly Subschema[] {
  const found: Subschema[] = [];
  const waiting: (readonly [Json | undefined, string])[] = [[root, ""]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [schema, place] = next;
    // The compiler reports what is not a schema.
    if (!isObject(schema)) continue;
    found.push({ schema, place });
    for (const key of SCHEMA) waiting.push([schema[key], `${place}/${key}`]);
    for (const key of [...LISTS, ...MAPS]) {
      const group = schema[key];
      if (typeof group !== "object" || group === null) continue;
      for (const [name, member] of Object.entries(group))
        waiting.push([member, `${place}/${key}/${escapePointer(name)}`]);
    }
  }
  return found;
}

function checkOwn(schema: SchemaObject, place: string): void {
  const has = (key: string) => `has ${place}/${key}`;
  const { $schema: dialect } = schema;
  if (dialect !== undefined && dialect !== DIALECT && dialect !== `${DIALECT}#`)
    throw new SchemaError(`${has("$schema")}, which may only be ${DIALECT}`);
  if (place !== "" && "$id" in schema)
    throw new SchemaError(`${has("$id")}; only the whole schema may have an $id`);
  if (STEP in schema) throw new SchemaError(`${has(STEP)}, which is no keyword`);
  if ("$async" in schema) throw new SchemaError(`${has("$async")}, which is no keyword`);
}

function checkReference(
  reference: Json,
  place: string,
  root: SchemaObject,
  targets: ReadonlySet<unknown>,
  anchors: ReadonlySet<Json>,
): void {
  if (typeof reference !== "string") throw new SchemaError(`has ${place}, which is no text`);
  const shown = JSON.stringify(reference.slice(0, 100));
  if (!reference.startsWith("#")) {
    throw new SchemaError(
      `has ${place}, which leads out of the schema (${shown}); it may lead to a part of it, such as #/$defs/NAME`,
    );
  }
  const fragment = decoded(reference.slice(1));
  const isPointer = fragment === "" || fragment?.startsWith("/") === true;
  const target = isPointer ? at(root, fragment) : undefined;
  const isKnown = isPointer
    ? typeof target === "boolean" || targets.has(target)
    : anchors.has(fragment ?? null);
  if (!isKnown)
    throw new SchemaError(
      `has ${place}, which leads to no schema (${shown}); it may lead to one, such as #/$defs/NAME`,
    );
}

function decoded(fragment: string): string | undefined {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return undefined;
  }
}

/** The value at a JSON pointer. */
function at(root: Json, pointer: string): Json | undefined {
  let value: Json | undefined = root;
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as SchemaObject)[key];
  }
  return value;
}

function stepsOf(schema: SchemaObject): [number, boolean] {
  const own = Object.entries(schema).filter(([key]) => !APPLICATORS.has(key));
  const text = own.reduce((sum, [, value]) => sum + JSON.stringify(value).length, 0);
  return [1 + Math.floor(text / TEXT_PER_STEP), COUNTING.some((key) => key in schema)];
}

function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function isObject(value: Json | undefined): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
