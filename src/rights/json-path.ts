import { isRecord } from "../core/is-record.ts";

/**
 * The value at a path within JSON; undefined when there is none.
 *
 * Only own members count, so `constructor` and `__proto__` find nothing that was not sent. A key
 * may itself contain dots, as `https://example.com/roles` does: the path's steps are joined until
 * they are a key. Where several readings lead to a value, the one with the shortest first key wins.
 *
 * @param path The path, split at its dots.
 */
export function claimAt(json: unknown, path: readonly string[]): unknown {
  if (path.length === 0) return json;
  if (!isRecord(json)) return undefined;
  let key = "";
  for (const [index, step] of path.entries()) {
    key = index === 0 ? step : `${key}.${step}`;
    if (!Object.hasOwn(json, key)) continue;
    const found = claimAt(json[key], path.slice(index + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The text of a claim that stands for a name or an id; undefined when it stands for none.
 *
 * Text and numbers do, unless they are empty, or beyond ±(2^53-1): such numbers were rounded, so
 * that two different ids could become one.
 */
export function claimText(claim: unknown): string | undefined {
  if (typeof claim === "string") return claim === "" ? undefined : claim;
  if (typeof claim !== "number") return undefined;
  return Math.abs(claim) <= Number.MAX_SAFE_INTEGER ? String(claim) : undefined;
}
