import type { Json } from "../core/value.ts";

/** Whether all items differ, in time linear in their size. */
export function areUnique(items: readonly Json[]): boolean {
  const seen = new Set<Json>();
  for (const item of items) {
    // Keys of objects and arrays begin with a bracket, those of strings with a quote.
    const key =
      typeof item === "object" && item !== null
        ? canonicalText(item)
        : typeof item === "string"
          ? `"${item}`
          : item;
    if (seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

/** JSON text with sorted keys: equal for equal values. */
function canonicalText(value: Json): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalText).join()}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalText(member)}`).join()}}`;
}
