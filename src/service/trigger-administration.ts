import { compareUtf8, utf8Length } from "../core/text.ts";
import { checkName } from "../core/names.ts";
import { readPageToken, writePageToken } from "../core/page-token.ts";
import type { TriggerEngine, TriggerReport } from "../triggers/trigger-engine.ts";
import { checkPageSize, requestInvalid } from "./checks.ts";
import type { PageRequest } from "./requests.ts";

/** A page of triggers. */
export interface TriggerPage {
  readonly triggers: readonly TriggerReport[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Which trigger to delete: exactly one field, the other absent or empty. */
export interface DeleteTriggerRequest {
  readonly triggerId?: string | undefined;
  /** Its durable name. */
  readonly durable?: string | undefined;
}

/** For operators: the triggers of the whole fleet. */
export interface TriggerAdministration {
  /** A page of the triggers in force, sorted by id. @throws StreamError */
  listTriggers(request: PageRequest): Promise<TriggerPage>;
  /**
   * Ends a trigger at every process. The events that wait for it are dropped.
   *
   * @throws StreamError REQUEST_INVALID. OUTCOME_UNKNOWN, STORE_UNAVAILABLE when some process may
   *   not have ended its share: try again.
   */
  deleteTrigger(request: DeleteTriggerRequest): Promise<{ readonly deleted: boolean }>;
}

/** An order about triggers to every process of the fleet. */
export type TriggerOrder =
  | { readonly kind: "triggers" }
  | { readonly kind: "delete-trigger"; readonly id: string };

/** The part of the engine that carries out orders. */
export type OrderedTriggers = Pick<TriggerEngine, "report" | "remove">;

/** Most bytes of a page as JSON, so that the response stays under 3.5 MiB. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024;
const LISTING = ["triggers"];

/** @param issue Carries out an order at every process. */
export function createTriggerAdministration(
  issue: <R>(order: TriggerOrder) => Promise<R[]>,
): TriggerAdministration {
  const all = async () => {
    const merged = new Map<string, TriggerReport>();
    for (const reports of await issue<readonly TriggerReport[]>({ kind: "triggers" })) {
      for (const report of reports) {
        const known = merged.get(report.id);
        merged.set(report.id, known === undefined ? report : sumOf(known, report));
      }
    }
    return Array.from(merged.values()).sort((a, b) => compareUtf8(a.id, b.id));
  };
  return {
    async listTriggers({ pageSize, pageToken }) {
      const limit = checkPageSize(pageSize);
      const [after = ""] = readPageToken(pageToken, LISTING, 1) ?? [];
      const found = (await all()).filter(({ id }) => after === "" || compareUtf8(id, after) > 0);
      const triggers = fitting(found.slice(0, limit));
      const last = triggers.at(-1);
      const hasMore = found.length > triggers.length && last !== undefined;
      return { triggers, nextPageToken: hasMore ? writePageToken(LISTING, [last.id]) : "" };
    },
    async deleteTrigger({ triggerId = "", durable = "" }) {
      if ((triggerId === "") === (durable === "")) {
        throw requestInvalid(
          "trigger_id",
          "The request has to name one trigger; it may have either trigger_id or durable.",
        );
      }
      const field = triggerId === "" ? "durable" : "trigger_id";
      const name = checkName(field, triggerId || durable);
      const found = (await all()).find((trigger) =>
        field === "durable" ? durableNameOf(trigger) === name : trigger.id === name,
      );
      if (found === undefined) return { deleted: false };
      await issue({ kind: "delete-trigger", id: found.id });
      return { deleted: true };
    },
  };
}

/** The first triggers, as many as fit into a page, at least one. */
function fitting(triggers: readonly TriggerReport[]): readonly TriggerReport[] {
  let bytes = 0;
  const end = triggers.findIndex((trigger, i) => {
    bytes += utf8Length(JSON.stringify(trigger));
    return i > 0 && bytes > MAX_PAGE_BYTES;
  });
  return end < 0 ? triggers : triggers.slice(0, end);
}

/** Carries out an order at this process. */
export async function carryOutTriggerOrder(
  triggers: OrderedTriggers,
  order: TriggerOrder,
): Promise<unknown> {
  if (order.kind === "triggers") return triggers.report();
  await triggers.remove(order.id);
  return null;
}

/** The durable name of a trigger; undefined: it is not durable. */
export function durableNameOf({ config }: Pick<TriggerReport, "config">): string | undefined {
  return (config as { readonly durable?: string }).durable;
}

/** The reports of two processes about one trigger. */
function sumOf(a: TriggerReport, b: TriggerReport): TriggerReport {
  return {
    ...a,
    counts: {
      fired: a.counts.fired + b.counts.fired,
      skipped: a.counts.skipped + b.counts.skipped,
      failed: a.counts.failed + b.counts.failed,
      retried: a.counts.retried + b.counts.retried,
      dropped: a.counts.dropped + b.counts.dropped,
    },
    pending: a.pending + b.pending,
    oldestMs: earlier(a.oldestMs, b.oldestMs),
    // One process may lag a moment behind the others.
    served: a.served || b.served,
    awaySinceMs: a.served || b.served ? undefined : earlier(a.awaySinceMs, b.awaySinceMs),
  };
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
