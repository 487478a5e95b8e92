import type { FormatName } from "ajv-formats";
import type { Fuel } from "./fuel.ts";
import { type LinearPattern, linearPattern } from "./linear-pattern.ts";
import { schemaLibraries } from "./schema-libraries.ts";

/** Decides whether a text has a format. */
export type FormatTest = (text: string) => boolean;

/** Formats whose patterns take quadratic time in JavaScript, so they are matched in linear time. */
const BY_PATTERN = [
  "email",
  "ipv4",
  "ipv6",
  "json-pointer",
  "relative-json-pointer",
  "uri-reference",
  "uri-template",
  "uuid",
] as const;
/** Formats that already take linear time. */
const PLAIN = ["date", "time", "date-time", "regex"] as const;
/** Formats whose patterns have look-ahead, with the longest text that is matched. */
const SHORT = { hostname: 254, duration: 256 } as const;

/** The formats of JSON Schema 2020-12 that are checked, by name. */
export function formatsWith(fuel: Fuel): ReadonlyMap<string, FormatTest> {
  const formats = new Map<string, FormatTest>();
  for (const name of BY_PATTERN) {
    const { source, ignoreCase } = schemaLibraries().formats.get(name) as RegExp;
    // Most schemas have few formats.
    let pattern: LinearPattern | undefined;
    formats.set(name, (text) => (pattern ??= linearPattern(source, fuel, ignoreCase)).test(text));
  }
  for (const name of PLAIN) {
    const test = testOf(name);
    formats.set(name, (text) => {
      fuel.burn(1 + text.length / 16);
      return test(text);
    });
  }
  for (const [name, maxLength] of Object.entries(SHORT)) {
    const test = testOf(name as keyof typeof SHORT);
    formats.set(name, (text) => text.length <= maxLength && test(text));
  }
  const isReference = formats.get("uri-reference");
  formats.set("uri", (text) => SCHEME.test(text) && isReference?.(text) === true);
  return formats;
}

/** The names of the formats. */
export const FORMAT_NAMES: readonly string[] = [
  ...BY_PATTERN,
  ...PLAIN,
  ...Object.keys(SHORT),
  "uri",
].sort();

const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

function testOf(name: FormatName): FormatTest {
  const format = schemaLibraries().formats.get(name);
  if (format instanceof RegExp) return (text) => format.test(text);
  if (typeof format === "function") return format;
  if (typeof format === "object" && typeof format.validate === "function")
    return format.validate as FormatTest;
  throw new Error(`ajv-formats has no format ${name}.`);
}
