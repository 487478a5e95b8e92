import type { UpdateOp } from "../../src/core/ops.ts";
import type { Json } from "../../src/core/value.ts";

/**
 * A second implementation of the update rules, as an oracle for the reducer. It shares no code with
 * it and works in another way: an item is a list of 0 or 1 values, objects are Maps, nothing is
 * changed in place, integers are BigInts, and a step that fails throws its code.
 */
export function naiveReduce(
  current: Json | undefined,
  ops: readonly UpdateOp[],
): { value: Json; errors: [number, string][] } {
  let item: Node[] = current === undefined ? [] : [fromJson(current)];
  const errors: [number, string][] = [];
  ops.forEach((op, index) => {
    try {
      item = [step(item, op)];
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      errors.push([index, `${op.type}.${error.message}`]);
    }
  });
  return { value: toJson(item.length === 0 ? new Map() : (item[0] as Node)), errors };
}

type Node = null | boolean | number | string | readonly Node[] | ReadonlyMap<string, Node>;

class Failed extends Error {}

function fail(code: string): never {
  throw new Failed(code);
}

function fromJson(json: Json): Node {
  if (json === null || typeof json !== "object") return json;
  if (Array.isArray(json)) return json.map(fromJson);
  return new Map(Object.entries(json).map(([key, member]) => [key, fromJson(member)]));
}

function toJson(node: Node): Json {
  if (node instanceof Map) {
    return Object.fromEntries([...node].map(([key, member]) => [key, toJson(member as Node)]));
  }
  return Array.isArray(node) ? node.map(toJson) : (node as Json);
}

function step(item: readonly Node[], op: UpdateOp): Node {
  const path = typeof op.path === "string" ? (op.path === "" ? [] : [op.path]) : op.path;
  checkPath(path);
  if (op.type === "merge") checkMergeValue(op.value.json());
  const [first, ...rest] = path;

  if (first === undefined) return atRoot(item, op);
  const root = item.length === 0 ? new Map<string, Node>() : (item[0] as Node);
  if (!(root instanceof Map)) return fail("target_not_object");
  return belowKey(root, first, rest, op, false);
}

function checkPath(path: readonly string[]): void {
  if (path.length > 32) fail("path.too_deep");
  for (const key of path) {
    if (key.length === 0) fail("path.empty_segment");
    if (Buffer.byteLength(key) > 256) fail("path.segment_too_long");
    if (/^(__proto__|constructor|prototype)$/.test(key)) fail("path.proto_polluted");
  }
}

function checkMergeValue(value: Json): void {
  if (!(fromJson(value) instanceof Map)) fail("value.not_an_object");
  const keys = Object.keys(value as object);
  if (keys.length > 1024) fail("value.too_many_keys");
  if (keys.some((key) => /^(__proto__|constructor|prototype)$/.test(key)))
    fail("value.proto_polluted");
  if (levels(value) > 16) fail("value.too_deep");
}

function levels(json: Json): number {
  if (json === null || typeof json !== "object") return 0;
  return 1 + Math.max(0, ...Object.values(json).map((member) => levels(member)));
}

function atRoot(item: readonly Node[], op: UpdateOp): Node {
  const exists = item.length === 1;
  const root = item[0];
  switch (op.type) {
    case "set":
      return fromJson(op.value.json());
    case "remove":
      return null;
    case "increment":
      return exists ? plus(root, op.by) : op.by;
    case "decrement":
      return exists ? plus(root, -op.by) : -op.by;
    case "append":
      return exists
        ? join(root as Node, fromJson(op.value.json()))
        : join(null, fromJson(op.value.json()));
    case "merge": {
      if (exists && !(root instanceof Map)) return fail("target_not_object");
      return overlay(exists ? (root as Node) : null, fromJson(op.value.json()));
    }
  }
}

/** The map with one value below `key` changed; `rest` is the path from there. */
function belowKey(
  map: ReadonlyMap<string, Node>,
  key: string,
  rest: readonly string[],
  op: UpdateOp,
  nested: boolean,
): Node {
  const [next, ...further] = rest;
  if (next !== undefined) {
    const child = map.get(key);
    const inner = child instanceof Map ? child : new Map<string, Node>();
    return put(map, key, belowKey(inner, next, further, op, true));
  }
  const has = map.has(key);
  switch (op.type) {
    case "set":
      return put(map, key, fromJson(op.value.json()));
    case "remove":
      return new Map([...map].filter(([name]) => name !== key));
    case "increment":
      return put(map, key, has ? plus(map.get(key), op.by) : op.by);
    case "decrement":
      return put(map, key, has ? plus(map.get(key), -op.by) : -op.by);
    case "merge":
      return put(map, key, overlay(map.get(key) ?? null, fromJson(op.value.json())));
    case "append": {
      const value = fromJson(op.value.json());
      if (!has) return put(map, key, nested || typeof value !== "string" ? [value] : value);
      return put(map, key, join(map.get(key) as Node, value));
    }
  }
}

function put(map: ReadonlyMap<string, Node>, key: string, node: Node): Node {
  return new Map([...map, [key, node]]);
}

function overlay(target: Node, source: Node): Node {
  return new Map([
    ...(target instanceof Map ? target : []),
    ...(source as ReadonlyMap<string, Node>),
  ]);
}

function join(target: Node, value: Node): Node {
  if (Array.isArray(target)) return [...target, value];
  if (target === null) return typeof value === "string" ? value : [value];
  if (typeof target === "string" && typeof value === "string") return `${target}${value}`;
  return fail("type_mismatch");
}

function plus(target: Node | undefined, by: number): number {
  if (typeof target !== "number") return fail("not_number");
  if (target % 1 !== 0) return target + by;
  const exact = BigInt(target) + BigInt(by);
  const limit = 2n ** 53n - 1n;
  return exact > limit || exact < -limit ? fail("out_of_range") : Number(exact);
}
