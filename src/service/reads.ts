import { checkGroup, checkName } from "../core/names.ts";
import {
  itemListing,
  itemPageToken,
  pageTokenInvalid,
  readPageToken,
  writePageToken,
} from "../core/page-token.ts";
import type { Store } from "../core/store.ts";
import { checkFlag, checkItem, checkPageSize } from "./checks.ts";
import { readHistory } from "./history.ts";
import type { Item } from "../core/change.ts";
import type {
  HistoryRequest,
  HistoryResult,
  ItemRequest,
  ListAllResult,
  ListGroupsRequest,
  ListGroupsResult,
  ListRequest,
  ListResult,
  PageRequest,
} from "./requests.ts";

/** Most bytes of values in one page, so that the response stays under 3.5 MiB. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024;

/** The calls that read, without a decision about rights. @see Handlers */
export interface Reads {
  get(request: ItemRequest): Promise<Item | undefined>;
  list(request: ListRequest): Promise<ListResult>;
  history(request: HistoryRequest): Promise<HistoryResult>;
  listGroups(request: ListGroupsRequest): Promise<ListGroupsResult>;
  listAll(request: PageRequest): Promise<ListAllResult>;
}

/** Creates the calls that read. */
export function createReads(store: Store): Reads {
  return {
    async get(request) {
      const { group, itemId } = checkItem(request);
      return (await store.get(group, itemId)).item;
    },

    async list(request) {
      const group = checkGroup(request);
      const maxCount = checkPageSize(request.pageSize);
      const descending = checkFlag("descending", request.descending);
      const listing = itemListing(group, descending);
      const [epoch, after] = readPageToken(request.pageToken, listing, 2) ?? [];
      const limits = { maxCount, maxBytes: MAX_PAGE_BYTES };
      const page = await store.list(group, { after, descending, ...limits });
      // Creation orders do not carry over to a new history, and neither do cursors.
      if (epoch !== undefined && epoch !== page.position.epoch) throw pageTokenInvalid();
      const nextPageToken =
        page.next === undefined
          ? ""
          : itemPageToken(group, descending, page.position.epoch, page.next);
      return { items: page.items, position: page.position, nextPageToken };
    },

    history: (request) => readHistory(store, request),

    async listGroups(request) {
      const streamName = checkName("stream_name", request.streamName);
      const limit = checkPageSize(request.pageSize);
      const listing = ["groups", streamName];
      const [after] = readPageToken(request.pageToken, listing, 1) ?? [];
      // One entry more than the page shows whether there is a next one.
      const found = await store.groups(
        streamName,
        after === undefined ? { limit: limit + 1 } : { after, limit: limit + 1 },
      );
      const groups = found.slice(0, limit);
      const nextPageToken =
        found.length > limit ? writePageToken(listing, [groups.at(-1) as string]) : "";
      return { groups, nextPageToken };
    },

    async listAll(request): Promise<ListAllResult> {
      const limit = checkPageSize(request.pageSize);
      const listing = ["all"];
      const [streamName, groupId] = readPageToken(request.pageToken, listing, 2) ?? [];
      const after =
        streamName === undefined || groupId === undefined ? undefined : { streamName, groupId };
      const found = await store.allGroups(
        after === undefined ? { limit: limit + 1 } : { after, limit: limit + 1 },
      );
      const pairs = found.groups.slice(0, limit);
      const streams: { streamName: string; groups: string[] }[] = [];
      for (const pair of pairs) {
        if (streams.at(-1)?.streamName !== pair.streamName)
          streams.push({ streamName: pair.streamName, groups: [] });
        streams.at(-1)?.groups.push(pair.groupId);
      }
      const last = pairs.at(-1);
      const nextPageToken =
        found.groups.length > limit && last !== undefined
          ? writePageToken(listing, [last.streamName, last.groupId])
          : "";
      return { streams, count: found.streamCount, nextPageToken };
    },
  };
}
