import { Document, type Node, isMap } from "yaml";
import { adapterFor } from "./adapter-section.ts";
import type { LoadedConfig } from "./config.ts";
import { HIDDEN, withoutSecretParts } from "./discretion.ts";
import { KEYS, type Key } from "./keys.ts";
import type { KeyPath } from "./tree.ts";
import { setAt, valueAt } from "./tree.ts";
import { DURATION, SIZE } from "./units.ts";

/** Whether a place within a value must not be shown. */
type IsHidden = (below: KeyPath) => boolean;

/**
 * The configuration in force as a YAML file, each value with its origin. Secrets, values from
 * placeholders, and the user, password, query and fragment of URLs are hidden. The keys of other
 * adapters are left out. Apart from hidden values, the text is an equivalent configuration file.
 */
export function reportOf(loaded: LoadedConfig): string {
  const document = new Document({});
  const unset: string[] = [];
  const { name } = loaded.config.adapter;
  for (const key of KEYS.filter(({ path }) => (adapterFor(path) ?? name) === name)) {
    const value = valueAt(loaded.config, key.path);
    if (value === undefined) unset.push(` ${key.name}: ${key.absent ?? ""} # default`);
    else {
      const node: Node = document.createNode(
        writtenAs(key, value, (below) => loaded.isHidden(key, below)),
        { flow: true },
      );
      node.comment = ` ${loaded.originOf(key) ?? "default"}`;
      document.setIn(key.path, node);
    }
  }
  if (isMap(document.contents)) document.comment = unset.join("\n");
  return document.toString({ lineWidth: 0 });
}

/** Writes a section of a list or map, key by key. */
function sectionOf({ path, items }: Key, section: unknown, isHidden: IsHidden): unknown {
  const written = {};
  for (const key of items) {
    const place = key.path.slice(path.length);
    const value = valueAt(section, place);
    if (value === undefined) continue;
    setAt(
      written,
      place,
      writtenAs(key, value, (below) => isHidden([...place, ...below])),
    );
  }
  return written;
}

function writtenAs(key: Key, value: unknown, isHidden: IsHidden): unknown {
  if (value === undefined) return undefined;
  if (key.kind === "sections") {
    return (value as readonly unknown[]).map((section, index) =>
      sectionOf(key, section, (below) => isHidden([index, ...below])),
    );
  }
  if (key.kind === "map") {
    const sections = Object.entries(value as object).map(([name, section]) => [
      name,
      sectionOf(key, section, (below) => isHidden([name, ...below])),
    ]);
    return Object.fromEntries(sections) as unknown;
  }
  if (Array.isArray(value))
    return value.map((item: unknown, index) =>
      key.secret === true || isHidden([index]) ? HIDDEN : shownAs(item),
    );
  if (key.secret === true || isHidden([])) return HIDDEN;
  if (typeof value !== "number") return shownAs(value);
  if (key.kind === "duration") return DURATION.format(value);
  return key.kind === "size" ? SIZE.format(value) : value;
}

function shownAs(value: unknown): unknown {
  return typeof value === "string" && URL_LIKE.test(value) ? withoutSecretParts(value) : value;
}

const URL_LIKE = /^[a-z][a-z0-9+.-]*:\/\//i;
