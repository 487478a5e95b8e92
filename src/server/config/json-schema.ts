import * as z from "zod";
import { CONFIG } from "./schema.ts";

type Json = Record<string, unknown>;

/** A placeholder, which editors accept in the place of any value. */
const PLACEHOLDER = { type: "string", pattern: "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:.*)?\\}" };

/** The JSON Schema of the configuration file, for editors. */
export function configJsonSchema(): Json {
  const { $schema, ...schema } = z.toJSONSchema(CONFIG, { io: "input", target: "draft-7" });
  return {
    $schema,
    title: "Millrace",
    description: "Configuration of a Millrace server.",
    ...(forEditors(schema) as Json),
  };
}

function forEditors(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(forEditors);
  if (typeof schema !== "object" || schema === null) return schema;
  const everyBelow = (json: Json) =>
    Object.fromEntries(Object.entries(json).map(([key, value]) => [key, forEditors(value)]));
  // An object without notes may be a map of properties, which may have any names.
  if (typeof (schema as Json)["kind"] !== "string") return everyBelow(schema as Json);
  const { kind: _kind, may, secret: _secret, absent: _absent, ...own } = schema as Json;
  const below = everyBelow(own);
  const { description, default: fallback, ...type } = below;
  return {
    description: `${String(description)} It may be ${String(may)}.`,
    ...(fallback !== undefined && { default: fallback }),
    anyOf: [type, PLACEHOLDER],
  };
}
