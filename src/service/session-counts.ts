import { createHash } from "node:crypto";
import type { Admitted } from "../triggers/admission.ts";

/*
 * While a session changes hands, its subscriptions are known twice: to the socket, or the process,
 * that had it, and to the one that has it. Processes therefore name the subscriptions of sessions
 * that they count, and whoever adds the counts up counts each of them once.
 */

/** What one process found. */
export interface SharedCount {
  readonly count: number;
  /** Ids of those of sessions, with repetitions. Absent: of a process of an older version. */
  readonly shared?: readonly string[] | undefined;
}

/** Bytes of an id: two subscriptions have the same one by chance never. */
const ID_BYTES = 12;

/** The ids of those subscriptions that belong to sessions. */
export function sharedIdsOf(all: Iterable<Admitted>): string[] {
  return Array.from(all).flatMap((each) => (each.isOfSession ? [idOf(each)] : []));
}

/** A subscription has the same id on each socket of its session: so has its connection. */
function idOf({ joined }: Admitted): string {
  const { connection, subscriptionId, streamName, groupId, itemId } = joined;
  const parts = [connection.connectionId, subscriptionId, streamName, groupId, itemId];
  return createHash("sha256")
    .update(JSON.stringify(parts))
    .digest()
    .subarray(0, ID_BYTES)
    .toString("base64url");
}

/** Adds counts up. @param without Ids that do not count. */
export function countOnce(
  counts: readonly SharedCount[],
  without: ReadonlySet<string> = new Set(),
): number {
  let sum = 0;
  const seen = new Set(without);
  for (const { count, shared = [] } of counts) {
    sum += count - shared.length;
    for (const id of shared) {
      if (!seen.has(id)) sum++;
      seen.add(id);
    }
  }
  return sum;
}
