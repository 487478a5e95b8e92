import { Document, type Node, isMap } from "yaml";
import { adapterFor } from "./adapter-section.ts";
import type { LoadedConfig } from "./config.ts";
import { KEYS, type Key } from "./keys.ts";
import { valueAt } from "./tree.ts";
import { DURATION, SIZE } from "./units.ts";

const HIDDEN = "(hidden)";

/**
 * The configuration in force as a YAML file, each value with where it comes from. Secrets are hidden,
 * and the keys of an adapter that is not in force are left out; apart from secrets, the text is a configuration file that says the same.
 */
export function reportOf(loaded: LoadedConfig): string {
  const document = new Document({});
  const unset: string[] = [];
  const { name } = loaded.config.adapter;
  for (const key of KEYS.filter(({ path }) => (adapterFor(path) ?? name) === name)) {
    const value = valueAt(loaded.config, key.path);
    if (value === undefined) unset.push(` ${key.name}: ${key.absent ?? ""} # default`);
    else document.setIn(key.path, nodeOf(document, key, value, loaded.originOf(key) ?? "default"));
  }
  if (isMap(document.contents)) document.comment = unset.join("\n");
  return document.toString({ lineWidth: 0 });
}

function nodeOf(document: Document, key: Key, value: unknown, origin: string): Node {
  const node = document.createNode(writtenAs(key, value), { flow: true });
  node.comment = ` ${origin}`;
  return node;
}

/** A section of a list, by its keys. */
function sectionOf(keys: readonly Key[]): (section: unknown) => unknown {
  return (section) =>
    Object.fromEntries(
      keys.map((key) => {
        const name = key.path.at(-1) ?? "";
        return [name, writtenAs(key, valueAt(section, [name]))];
      }),
    );
}

function writtenAs(key: Key, value: unknown): unknown {
  if (key.kind === "sections") return (value as readonly unknown[]).map(sectionOf(key.items));
  if (Array.isArray(value)) return key.secret === true ? value.map(() => HIDDEN) : value;
  if (key.secret === true) return HIDDEN;
  if (typeof value !== "number") return value;
  if (key.kind === "duration") return DURATION.format(value);
  return key.kind === "size" ? SIZE.format(value) : value;
}
