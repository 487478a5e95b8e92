import type { GroupKey } from "../core/names.ts";
import type { Idempotency } from "../core/idempotency-key.ts";
import type { Lifetimes } from "../core/lifetime.ts";
import type { Position } from "../core/position.ts";
import { AFTER_PRESENCE_STREAMS, isPresenceStream } from "../core/presence-stream.ts";
import type { HistoryOf } from "../core/retention.ts";
import type { GroupPage, Head, ReadLimits, Store } from "../core/store.ts";
import { memoryStore } from "../stores/memory/memory-store.ts";

/**
 * A store with groups of presence, which are not listed.
 *
 * @param isShared Whether the processes of a fleet share the store: then it has them, too. Otherwise
 *   they are in memory.
 * @param historyOf History of their streams.
 */
export function withPresence(store: Store, isShared: boolean, historyOf: HistoryOf): Store {
  const presence = isShared ? undefined : memoryStore({ history: historyOf });
  const storeOf = ({ streamName }: GroupKey): Store =>
    presence !== undefined && isPresenceStream(streamName) ? presence : store;

  return {
    get outbox() {
      return store.outbox;
    },
    lifetimes: presence === undefined ? store.lifetimes : both(store.lifetimes, presence.lifetimes),
    get failure() {
      return store.failure;
    },
    run: (group, commits) => storeOf(group).run(group, commits),
    broadcast: (group, message) => storeOf(group).broadcast(group, message),
    get: (group, itemId) => storeOf(group).get(group, itemId),
    ...(store.recall !== undefined && {
      recall: (group: GroupKey, idempotency: Idempotency) => store.recall!(group, idempotency),
    }),
    async heads(groups) {
      if (presence === undefined || !groups.some(({ streamName }) => isPresenceStream(streamName)))
        return store.heads(groups);
      const isOfPresence = groups.map(({ streamName }) => isPresenceStream(streamName));
      const [shown, others] = await Promise.all([
        presence.heads(groups.filter((_, i) => isOfPresence[i])),
        store.heads(groups.filter((_, i) => !isOfPresence[i])),
      ]);
      const [nextShown, nextOther] = [shown.values(), others.values()];
      return isOfPresence.map((is) => (is ? nextShown : nextOther).next().value as Head);
    },
    list: (group, page) => storeOf(group).list(group, page),
    snapshot: (group, window) => storeOf(group).snapshot(group, window),
    since: (group, from, limits) => storeOf(group).since(group, from, limits),
    ...(store.deltasSince !== undefined && {
      deltasSince: (group: GroupKey, from: Position, limits: ReadLimits) =>
        storeOf(group).deltasSince!(group, from, limits),
    }),
    logRange: (group) => storeOf(group).logRange(group),
    groups: async (streamName, page) =>
      isPresenceStream(streamName) ? [] : store.groups(streamName, page),
    allGroups: (page) => listed(store, page),
    watch: (group, listener, onDoubt) => storeOf(group).watch(group, listener, onDoubt),
    async close() {
      await store.close();
      await presence?.close();
    },
  };
}

/** A page of the groups that are not of presence. Those of presence lie together in its order. */
async function listed(
  store: Pick<Store, "allGroups">,
  page: { after?: GroupKey; limit: number },
): Promise<GroupPage> {
  const found = await store.allGroups(page);
  const groups = found.groups.filter(({ streamName }) => !isPresenceStream(streamName));
  if (groups.length === found.groups.length) return found;
  const last = found.groups.at(-1) as GroupKey;
  const after = isPresenceStream(last.streamName) ? AFTER_PRESENCE_STREAMS : last;
  const rest = await store.allGroups({ after, limit: page.limit - groups.length });
  return { ...found, groups: [...groups, ...rest.groups] };
}

/**
 * The lifetimes of two stores. Items of presence do not expire, and those in memory outlive no
 * process: nothing is left of the connections of an earlier one.
 */
function both(all: Lifetimes, ofPresence: Lifetimes): Lifetimes {
  return {
    expired: (limit) => all.expired(limit),
    async boundTo(connection, limit, within) {
      const found = await Promise.all([
        all.boundTo(connection, limit, within),
        ofPresence.boundTo(connection, limit, within),
      ]);
      return found.flat().slice(0, limit);
    },
    connections: (page) => all.connections(page),
  };
}
