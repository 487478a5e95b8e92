/** A place in a configuration: keys, and indices of lists. */
export type KeyPath = readonly PropertyKey[];

/** The place with a name such as `auth.rules[3].stream`. */
export function pathOf(name: string): KeyPath {
  return Array.from(name.matchAll(/\[(\d+)\]|([^.[\]]+)/g), ([, index, part = ""]) =>
    index === undefined ? part : Number(index),
  );
}

/** Sets the value at a path of a tree, and creates the sections on the way. */
export function setAt(
  tree: Record<string, unknown>,
  path: readonly string[],
  value: unknown,
): void {
  let section = tree;
  for (const part of path.slice(0, -1)) section = (section[part] ??= {}) as typeof section;
  section[path.at(-1) ?? ""] = value;
}

/** The value at a path of a tree; undefined when there is none. */
export function valueAt(tree: unknown, path: KeyPath): unknown {
  let value = tree;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part))
      return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[part];
  }
  return value;
}
