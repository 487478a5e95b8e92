import { NO_AUTHOR } from "../../core/author.ts";
import type { Item } from "../../core/change.ts";
import { checkName } from "../../core/names.ts";
import { canonical } from "../../core/trigger.ts";
import type { Value } from "../../core/value.ts";

/**
 * Matches listed values with items: with an item written through the service with that value, each
 * item once; otherwise the id is the `id` field of the value, and otherwise `""`.
 *
 * @param seen The items written through the service.
 */
export function itemsOfValues(values: readonly Value[], seen: readonly Item[]): Item[] {
  const byText = new Map<string, Item[]>();
  const byId = new Map(seen.map((item) => [item.itemId, item]));
  for (const item of seen) {
    const text = canonical(item.value.json());
    const same = byText.get(text);
    if (same === undefined) byText.set(text, [item]);
    else same.push(item);
  }
  const taken = new Set<string>();
  const found = values.map((value) => {
    const known = byText.get(canonical(value.json()))?.shift();
    if (known !== undefined) taken.add(known.itemId);
    return known;
  });
  return values.map((value, i): Item => {
    const known = found[i];
    if (known !== undefined) return known;
    const id = idIn(value);
    const isFree = id !== "" && !taken.has(id);
    if (isFree) taken.add(id);
    const before = isFree ? byId.get(id) : undefined;
    return {
      itemId: isFree ? id : "",
      value,
      revision: before?.revision ?? 0,
      createTimeMs: before?.createTimeMs ?? 0,
      updateTimeMs: before?.updateTimeMs ?? 0,
      author: before?.author ?? NO_AUTHOR,
    };
  });
}

/** The `id` field of a value if it is a valid name, otherwise `""`. */
function idIn(value: Value): string {
  const json = value.json();
  if (typeof json !== "object" || json === null || Array.isArray(json)) return "";
  const { id } = json as { readonly id?: unknown };
  if (typeof id !== "string") return "";
  try {
    return checkName("id", id);
  } catch {
    return "";
  }
}
