import type {
  ChangeFrame,
  FrameRecord,
  Guarantee,
  History,
  ListRecord,
} from "../support/checker/index.ts";
import {
  ackedSets,
  batchesOf,
  changes,
  editChange,
  editFinal,
  editFrame,
  editSync,
  entries,
  frames,
  groupPairs,
  isChange,
  isGroupChange,
  isItemChange,
  onSome,
  pairs,
  type Place,
  replace,
} from "./edits.ts";
import type { Random } from "./random.ts";

/** A mistake that can be made in a good history, so that the records prove it. */
export interface Mutation {
  readonly name: string;
  /** At least one of these must be named. */
  readonly breaks: readonly Guarantee[];
  /** Returns a copy with the mistake; undefined when the history has no place for it. */
  mutate(history: History, random: Random): History | undefined;
}

/** The mistakes that the checker must find. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: "drop a change",
    breaks: ["G3"],
    mutate: (history, random) =>
      onSome(groupPairs(history), random, ([first]) => replace(history, first.place)),
  },
  {
    name: "drop a change of an item subscription",
    breaks: ["G3"],
    mutate: (history, random) =>
      onSome(pairs(history, isItemChange, isItemChange), random, ([first]) =>
        replace(history, first.place),
      ),
  },
  {
    name: "repeat a change",
    breaks: ["G3"],
    mutate: (history, random) =>
      onSome(changes(history), random, ({ place, record }) =>
        replace(history, place, record, record),
      ),
  },
  {
    name: "swap two changes",
    breaks: ["G2"],
    mutate: (history, random) =>
      onSome(groupPairs(history), random, ([first, second]) => {
        const swapped = replace(history, second.place, {
          ...second.record,
          frame: first.record.frame,
        });
        return replace(swapped, first.place, { ...first.record, frame: second.record.frame });
      }),
  },
  {
    name: "change the value of a change",
    breaks: ["G2", "G1"],
    mutate: (history, random) =>
      editChange(history, random, (frame) => ({ ...frame, value: '{"tag":"x"}' })),
  },
  {
    name: "change the item of a change",
    breaks: ["G1", "G2", "G3"],
    mutate: (history, random) => editChange(history, random, (frame) => ({ ...frame, item: "i9" })),
  },
  {
    name: "change the type of a change",
    breaks: ["G1", "G2"],
    mutate: (history, random) =>
      editChange(history, random, (frame) => ({
        ...frame,
        change: frame.change === "create" ? "update" : "create",
      })),
  },
  {
    name: "change the epoch of a change",
    breaks: ["G3"],
    mutate: (history, random) =>
      editChange(history, random, (frame) => ({
        ...frame,
        position: { ...frame.position, epoch: "x" },
      })),
  },
  {
    name: "change the timestamp of a change",
    breaks: ["clock"],
    mutate: (history, random) =>
      editChange(history, random, (frame) => ({ ...frame, timestamp: 1 })),
  },
  {
    name: "send a heartbeat early",
    breaks: ["G5"],
    mutate: (history, random) =>
      onSome(groupPairs(history), random, ([first, second]) => {
        const { position } = second.record.frame as ChangeFrame;
        return replace(history, first.place, first.record, {
          ...first.record,
          frame: { type: "heartbeat", position },
        });
      }),
  },
  {
    name: "split a batch by a heartbeat",
    breaks: ["G1"],
    mutate(history, random) {
      const inside = new Set(
        batchesOf(history).flatMap(({ group, epoch, first }) => `${group} ${epoch} ${first}`),
      );
      const split = groupPairs(history).filter(([{ record, subscribe }]) => {
        const { epoch, revision } = (record.frame as ChangeFrame).position;
        return inside.has(`${subscribe.group} ${epoch} ${revision}`);
      });
      return onSome(split, random, ([{ place, record }]) => {
        const { position } = record.frame as ChangeFrame;
        return replace(history, place, record, {
          ...record,
          frame: { type: "heartbeat", position },
        });
      });
    },
  },
  {
    name: "alter an item of a snapshot",
    breaks: ["G3"],
    mutate: (history, random) =>
      editSync(
        history,
        random,
        ([first, ...rest]) => first && [{ ...first, value: '"x"' }, ...rest],
      ),
  },
  {
    name: "leave an item out of a snapshot",
    breaks: ["G3"],
    mutate: (history, random) => editSync(history, random, (items) => items.slice(1)),
  },
  {
    name: "add an old item to a snapshot",
    breaks: ["G3", "G2"],
    mutate: (history, random) =>
      editSync(history, random, (items) => [...items, { item: "i9", value: '"x"', revision: 1 }]),
  },
  {
    name: "reverse the items of a snapshot",
    breaks: ["listing"],
    mutate: (history, random) =>
      editSync(history, random, (items) => (items.length > 1 ? items.toReversed() : undefined)),
  },
  {
    name: "lose the last part of a sync",
    breaks: ["G3"],
    mutate(history, random) {
      const parts = pairs(history, ({ frame }) => frame.type === "sync" && !frame.first, isChange);
      return onSome(parts, random, ([part]) => replace(history, part.place));
    },
  },
  {
    name: "resume from elsewhere",
    breaks: ["G4"],
    mutate: (history, random) =>
      editFrame(history, random, (frame, { item }) =>
        frame.type === "resumed" && frame.position.revision > 0 && item === undefined
          ? { ...frame, position: { ...frame.position, revision: frame.position.revision - 1 } }
          : undefined,
      ),
  },
  {
    name: "acknowledge another revision",
    breaks: ["G2", "G1"],
    mutate: (history, random) =>
      onSome(ackedSets(history), random, ({ place, record }) => {
        const { position } = record;
        return (
          position &&
          replace(history, place, {
            ...record,
            position: { ...position, revision: position.revision + 1 },
            results: [],
          })
        );
      }),
  },
  {
    name: "refuse a write that took effect",
    breaks: ["G1"],
    mutate: (history, random) =>
      onSome(ackedSets(history), random, ({ place, record }) => {
        const { kind, t, id } = record;
        return replace(history, place, {
          kind,
          t,
          id,
          outcome: "refused",
          reason: "STORE_UNAVAILABLE",
        });
      }),
  },
  {
    name: "omit the request of a write",
    breaks: ["G1"],
    mutate: (history, random) =>
      onSome(ackedSets(history), random, ({ record }) =>
        history.filter(
          (other) =>
            !((other.kind === "write" || other.kind === "outcome") && other.id === record.id),
        ),
      ),
  },
  {
    name: "request a write after its change was seen",
    breaks: ["G1"],
    mutate: (history, random) =>
      onSome(ackedSets(history), random, ({ record }) => {
        const end = history.at(-1)?.t ?? 0;
        return history.map((other) =>
          (other.kind === "write" || other.kind === "outcome") && other.id === record.id
            ? { ...other, t: end + 1 }
            : other,
        );
      }),
  },
  {
    name: "lose an acknowledged write at the end",
    breaks: ["G6"],
    mutate(history, random) {
      const acked = new Set(
        ackedSets(history).map(
          ({ record, write }) => `${write.group} ${record.position?.revision}`,
        ),
      );
      return editFinal(history, random, (items, { group }) => {
        const lost = items.findIndex(({ revision }) => acked.has(`${group} ${revision}`));
        return lost === -1 ? undefined : items.toSpliced(lost, 1);
      });
    },
  },
  {
    name: "restore a deleted item at the end",
    breaks: ["G1", "G6"],
    mutate: (history, random) =>
      editFinal(history, random, (items, { group }) => {
        const gone = changes(history).find(
          ({ record: { frame }, subscribe }) =>
            subscribe.group === group &&
            frame.type === "change" &&
            frame.change !== "delete" &&
            !items.some(({ item }) => item === frame.item),
        )?.record.frame;
        if (gone?.type !== "change" || gone.value === undefined) return undefined;
        const { item, value, position } = gone;
        return [...items, { item, value, revision: position.revision }];
      }),
  },
  {
    name: "list an old state",
    breaks: ["G10", "G6", "G1", "G5"],
    mutate(history, random) {
      const lists = entries(
        history,
        (record): record is ListRecord => record.kind === "list" && record.final !== true,
      );
      return editFinal(
        history,
        random,
        (_, { group }) => {
          const old = lists.find(
            ({ record }) => record.group === group && record.pages.length === 1,
          )?.record.pages[0];
          return old?.items;
        },
        (list) =>
          lists.find(({ record }) => record.group === list.group && record.pages.length === 1)
            ?.record.pages[0]?.position,
      );
    },
  },
  {
    name: "lose the last change of a live subscription",
    breaks: ["G3"],
    mutate(history, random) {
      const live = new Set(
        history.flatMap((record) =>
          record.kind === "end" && record.by === "client" ? record.subscription : [],
        ),
      );
      const lasts = new Map<string, Place<FrameRecord>>();
      for (const place of frames(history)) lasts.set(place.record.subscription, place);
      const losable = [...lasts.values()].filter(
        ({ record, subscribe }) => isChange(record, subscribe) && live.has(record.subscription),
      );
      return onSome(losable, random, ({ place }) => replace(history, place));
    },
  },
  {
    name: "repeat a transient event",
    breaks: ["events"],
    mutate: (history, random) =>
      onSome(
        frames(history).filter(({ record }) => record.frame.type === "event"),
        random,
        ({ place, record }) => replace(history, place, record, record),
      ),
  },
  {
    name: "let a transient event overtake the changes before it",
    breaks: ["events", "clock"],
    mutate: (history, random) =>
      onSome(
        pairs(history, isGroupChange, ({ frame }) => frame.type === "event"),
        random,
        ([change, event]) => {
          const moved = replace(history, event.place, {
            ...event.record,
            frame: change.record.frame,
          });
          return replace(moved, change.place, { ...change.record, frame: event.record.frame });
        },
      ),
  },
  {
    name: "read an item as it was",
    breaks: ["G10", "G1"],
    mutate(history, random) {
      const gets = entries(history, (record) => record.kind === "get");
      const stale = gets.flatMap(({ place, record }) => {
        if (record.kind !== "get") return [];
        const earlier = ackedSets(history).filter(
          ({ record: ack, write }) =>
            ack.t < record.t &&
            write.group === record.group &&
            write.mutations[0]?.item === record.item,
        );
        const [old] = earlier;
        const value = old?.write.mutations[0]?.value;
        const revision = old?.record.position?.revision;
        if (value === undefined || revision === undefined) return [];
        if (!earlier.some(({ record: ack }) => (ack.position?.revision ?? 0) > revision)) return [];
        return [{ place, record: { ...record, found: { value, revision } } }];
      });
      return onSome(stale, random, ({ place, record }) => replace(history, place, record));
    },
  },
];
