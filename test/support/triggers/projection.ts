import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Item as ProtoItem } from "millrace/v1";
import type { Json, StreamService } from "millrace";

/** A payload of a trigger with `start: "state"`. */
export interface StatePayload {
  readonly epoch?: string;
  readonly revision?: number;
  readonly groupId: string;
  readonly id: string | null;
  readonly event:
    | {
        readonly type: "sync";
        readonly data: readonly Json[];
        readonly ids: readonly string[];
        readonly first: boolean;
        readonly last: boolean;
        readonly reason: string;
      }
    | { readonly type: "create" | "update" | "delete"; readonly data: Json }
    | { readonly type: "event" };
}

/** A projection of a stream, made of the payloads of a trigger alone. */
export class Projection {
  readonly groups = new Map<string, Map<string, Json>>();
  /** What did not fit: a gap, a repetition, a part out of place. */
  readonly faults: string[] = [];
  /** Reasons of the states received, by group. */
  readonly reasons = new Map<string, string[]>();
  /** Number of payloads. */
  calls = 0;
  /** Number of changes that came again. */
  repetitions = 0;
  readonly #takesRepetitions: boolean;
  readonly #at = new Map<string, { readonly epoch: string; readonly revision: number }>();
  readonly #open = new Set<string>();

  /** @param options.takesRepetitions Whether changes may come again: then it ignores them. */
  constructor(options: { readonly takesRepetitions?: boolean } = {}) {
    this.#takesRepetitions = options.takesRepetitions ?? false;
  }

  /** Takes the next payload. */
  take({ epoch = "", revision = 0, groupId, id, event }: StatePayload): void {
    this.calls++;
    if (event.type === "event") return;
    if (event.type === "sync") {
      // A state that was interrupted begins again.
      if (event.first && this.#takesRepetitions) this.#open.delete(groupId);
      if (event.first === this.#open.has(groupId))
        this.faults.push(`${groupId}: a part is missing`);
      if (event.first) {
        this.groups.set(groupId, new Map());
        this.reasons.set(groupId, [...(this.reasons.get(groupId) ?? []), event.reason]);
      }
      if (event.last) this.#open.delete(groupId);
      else this.#open.add(groupId);
      for (const [i, itemId] of event.ids.entries())
        this.groups.get(groupId)?.set(itemId, event.data[i] as Json);
      this.#at.set(groupId, { epoch, revision });
      return;
    }
    if (this.#open.has(groupId)) this.faults.push(`${groupId}: a change within a state`);
    const at = this.#at.get(groupId);
    if (this.#takesRepetitions && at?.epoch === epoch && revision <= at.revision) {
      this.repetitions++;
      return;
    }
    // A group that is created after the start begins with its first change.
    const isNext = at?.epoch === epoch && revision === at.revision + 1;
    if (!isNext && !(at === undefined && revision === 1))
      this.faults.push(`${groupId}: ${epoch} ${revision} after ${at?.epoch} ${at?.revision}`);
    this.#at.set(groupId, { epoch, revision });
    const items = this.groups.get(groupId) ?? new Map<string, Json>();
    this.groups.set(groupId, items);
    if (event.type === "delete") items.delete(id as string);
    else items.set(id as string, event.data);
  }

  /** Its groups with items, sorted, each with its items in order. */
  content(): unknown {
    return Array.from(this.groups, ([groupId, items]) => [groupId, Array.from(items)] as const)
      .filter(([, items]) => items.length > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** The content of a stream, in the form of a projection. */
export async function contentOf(service: StreamService, streamName: string): Promise<unknown> {
  const content: [string, [string, Json][]][] = [];
  for (const groupId of await groupsOf(service, streamName)) {
    const items: [string, Json][] = [];
    let pageToken: string | undefined;
    do {
      const page = await service.list({
        ...{ streamName, groupId, pageSize: 1000 },
        ...(pageToken !== undefined && { pageToken }),
      });
      for (const { itemId, data } of page.items) items.push([itemId, data]);
      pageToken = page.nextPageToken || undefined;
    } while (pageToken !== undefined);
    content.push([groupId, items]);
  }
  return content;
}

async function groupsOf(service: StreamService, streamName: string): Promise<string[]> {
  const { groups } = await service.listGroups({ streamName, pageSize: 1000 });
  return groups.toSorted();
}

/** The items of a page, in the form of a projection. */
export function itemsOf(items: readonly ProtoItem[]): [string, JsonValue][] {
  return items.map(({ itemId, data }) => [
    itemId,
    data === undefined ? null : toJson(ValueSchema, data),
  ]);
}
