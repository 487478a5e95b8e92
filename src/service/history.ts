import { checkGroup, checkName } from "../core/names.ts";
import type { GroupKey } from "../core/names.ts";
import type { ChangeEvent } from "../core/change.ts";
import { frameBytes } from "../core/frame.ts";
import type { Position } from "../core/position.ts";
import type { LogRange } from "../core/log-range.ts";
import type { ReadLimits, Store } from "../core/store.ts";
import { checkFlag, checkPageSize, checkRevision } from "./checks.ts";
import { pageTokenInvalid, readPageToken, writePageToken } from "../core/page-token.ts";
import type { HistoryRequest, HistoryResult } from "./requests.ts";

/** Most bytes of changes in one page, so that the response stays under 3.5 MiB. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024;
/** Limits of one read of the log. Together with MAX_READS they limit what one call scans. */
const PART: ReadLimits = { maxCount: 500, maxBytes: 1024 * 1024 };
/** Most reads of the log for one page. */
const MAX_READS = 8;
/** Changes of the first read of a page that begins with the newest. */
const FIRST_BACKWARD_COUNT = 64;

/** The reads of a store that a listing of changes needs. */
export type LogReads = Pick<Store, "since" | "logRange">;

/**
 * Reads a page of the changes of a group.
 *
 * A page token is the revision where the next page begins, in its epoch. Every page lists the
 * contiguous changes from there on, so pages together list each change once, whatever is written or
 * trimmed meanwhile. A token is invalid once the log has been trimmed past its revision.
 */
export async function readHistory(
  store: LogReads,
  request: HistoryRequest,
): Promise<HistoryResult> {
  const group = checkGroup(request);
  const { fromRevision, toRevision } = request;
  const descending = checkFlag("descending", request.descending);
  const itemId = request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
  checkRevision("from_revision", fromRevision);
  checkRevision("to_revision", toRevision);
  const maxCount = checkPageSize(request.pageSize);
  const listing = [
    "history",
    group.streamName,
    group.groupId,
    ...[itemId, fromRevision, toRevision].map((each) => (each === undefined ? "" : `=${each}`)),
    descending ? "descending" : "ascending",
  ];
  const token = readPageToken(request.pageToken, listing, 2);
  const reader = new LogReader(store, group, descending);

  const changes: ChangeEvent[] = [];
  let bytes = 0;
  let range = await store.logRange(group);
  /** Revision of the next change. */
  let at = token === undefined ? undefined : placeOf(token, range);
  const page = (isLast: boolean): HistoryResult => {
    const { head, oldest } = range;
    return {
      changes,
      oldest: oldest > head.revision ? undefined : { epoch: head.epoch, revision: oldest },
      head,
      nextPageToken: isLast ? "" : writePageToken(listing, [head.epoch, String(at)]),
    };
  };
  for (let reads = 0; ; reads++) {
    const first = Math.max(range.oldest, fromRevision ?? 0);
    const last = Math.min(range.head.revision, toRevision ?? Infinity);
    at = descending ? Math.min(at ?? last, last) : Math.max(at ?? first, first);
    if (descending ? at < first : at > last) return page(true);
    if (changes.length >= maxCount || reads >= MAX_READS) return page(false);
    const wanted = itemId === undefined ? maxCount - changes.length : PART.maxCount;
    const part = await reader.read(range.head, at, descending ? first : last, wanted);
    if (part === undefined) {
      // Trimmed meanwhile, or the group has a new epoch.
      const { epoch } = range.head;
      const now = await store.logRange(group);
      if (now.head.epoch === epoch && now.oldest <= at) range = now;
      // The next page begins where nothing is left to read, so its caller has to start over.
      else if (changes.length > 0) return page(false);
      else if (token !== undefined) throw pageTokenInvalid();
      else [range, at] = [now, undefined];
      continue;
    }
    for (const change of part) {
      const { revision } = change.position;
      at = revision;
      if (itemId === undefined || change.itemId === itemId) {
        bytes += bytesOf(change);
        if (changes.length > 0 && (changes.length >= maxCount || bytes > MAX_PAGE_BYTES))
          return page(false);
        changes.push(change);
      }
      at = descending ? revision - 1 : revision + 1;
    }
  }
}

/** Where the page of a token begins. @throws StreamError PAGE_TOKEN_INVALID */
function placeOf([epoch, text]: readonly string[], { head, oldest }: LogRange): number {
  const revision = Number(text);
  if (epoch !== head.epoch || !Number.isSafeInteger(revision) || revision < oldest)
    throw pageTokenInvalid();
  return revision;
}

/** Upper bound of a change's size in a response, in bytes, in every wire form. */
function bytesOf(change: ChangeEvent): number {
  return frameBytes(change) + 3 * change.itemId.length;
}

/** Reads parts of a log, in one direction. */
class LogReader {
  readonly #store: LogReads;
  readonly #group: GroupKey;
  readonly #descending: boolean;
  /** Changes of the next backward read, which knows their sizes only afterwards. */
  #backwardCount = FIRST_BACKWARD_COUNT;

  constructor(store: LogReads, group: GroupKey, descending: boolean) {
    this.#store = store;
    this.#group = group;
    this.#descending = descending;
  }

  /**
   * Reads changes from `at` on, as far as `end`, at least one.
   *
   * @param head Head of the group, which is at `end` or after it.
   * @returns Contiguous changes in the direction of the reader; undefined when the log does not have
   *   them any more.
   */
  read(
    head: Position,
    at: number,
    end: number,
    maxCount: number,
  ): Promise<readonly ChangeEvent[] | undefined> {
    return this.#descending
      ? this.#readBackward(head, at, end, maxCount)
      : this.#readForward(head, at, Math.min(end, at + Math.min(maxCount, PART.maxCount) - 1));
  }

  async #readForward(
    { epoch }: Position,
    first: number,
    last: number,
  ): Promise<readonly ChangeEvent[] | undefined> {
    const limits = { maxCount: last - first + 1, maxBytes: PART.maxBytes };
    const replay = await this.#store.since(this.#group, { epoch, revision: first - 1 }, limits);
    return replay.lost || replay.changes.length === 0 ? undefined : replay.changes;
  }

  /** A log is read forward, so this reads some changes before `last`, fewer where they are large. */
  async #readBackward(
    head: Position,
    last: number,
    end: number,
    maxCount: number,
  ): Promise<readonly ChangeEvent[] | undefined> {
    let count = Math.min(this.#backwardCount, maxCount, PART.maxCount);
    for (;;) {
      const first = Math.max(end, last - count + 1);
      const part = await this.#readForward(head, first, last);
      if (part === undefined) return undefined;
      const isWhole = part.at(-1)?.position.revision === last;
      this.#backwardCount = isWhole ? Math.max(this.#backwardCount, 2 * count) : count;
      if (isWhole) return part.toReversed();
      count = Math.max(1, Math.floor(Math.min(count, last - first + 1) / 2));
    }
  }
}
