import type {
  ChangeFrame,
  Frame,
  FrameRecord,
  History,
  HistoryRecord,
  ListRecord,
  SubscribeRecord,
  WriteRecord,
} from "../support/checker/index.ts";
import type { Random } from "./random.ts";

export interface Place<T> {
  /** Index in the history. */
  readonly place: number;
  readonly record: T;
  /** The attempt of a frame. */
  readonly subscribe: SubscribeRecord;
}

export function onSome<T>(
  list: readonly T[],
  random: Random,
  edit: (entry: T) => History | undefined,
): History | undefined {
  return list.length === 0 ? undefined : edit(random.pick(list));
}

export function replace(
  history: History,
  place: number,
  ...records: readonly HistoryRecord[]
): History {
  return history.toSpliced(place, 1, ...records);
}

export function entries<T extends HistoryRecord>(
  history: History,
  is: (record: HistoryRecord) => record is T,
): { place: number; record: T }[];
export function entries(
  history: History,
  is: (record: HistoryRecord) => boolean,
): { place: number; record: HistoryRecord }[];
export function entries(
  history: History,
  is: (record: HistoryRecord) => boolean,
): { place: number; record: HistoryRecord }[] {
  return history.flatMap((record, place) => (is(record) ? [{ place, record }] : []));
}

export function frames(history: History): Place<FrameRecord>[] {
  const subscribes = new Map(
    history.flatMap((record) =>
      record.kind === "subscribe" ? [[record.subscription, record]] : [],
    ),
  );
  return history.flatMap((record, place) => {
    const subscribe = record.kind === "frame" ? subscribes.get(record.subscription) : undefined;
    return record.kind === "frame" && subscribe !== undefined ? [{ place, record, subscribe }] : [];
  });
}

type FrameTest = (record: FrameRecord, subscribe: SubscribeRecord) => boolean;

export const isChange: FrameTest = ({ frame }) => frame.type === "change";
export const isGroupChange: FrameTest = ({ frame }, { item }) =>
  frame.type === "change" && item === undefined;
export const isItemChange: FrameTest = ({ frame }, { item }) =>
  frame.type === "change" && item !== undefined;

/** Neighbours in one subscription. */
export function pairs(
  history: History,
  first: FrameTest,
  second: FrameTest,
): (readonly [Place<FrameRecord>, Place<FrameRecord>])[] {
  const lasts = new Map<string, Place<FrameRecord>>();
  return frames(history).flatMap((place) => {
    const before = lasts.get(place.record.subscription);
    lasts.set(place.record.subscription, place);
    if (
      before === undefined ||
      !first(before.record, before.subscribe) ||
      !second(place.record, place.subscribe)
    )
      return [];
    return [[before, place] as const];
  });
}

export function groupPairs(history: History) {
  return pairs(history, isGroupChange, isGroupChange);
}

export function changes(history: History): Place<FrameRecord>[] {
  return frames(history).filter(({ record, subscribe }) => isChange(record, subscribe));
}

export function editFrame(
  history: History,
  random: Random,
  edit: (frame: Frame, subscribe: SubscribeRecord) => Frame | undefined,
): History | undefined {
  const edited = frames(history).flatMap(({ place, record, subscribe }) => {
    const frame = edit(record.frame, subscribe);
    return frame === undefined ? [] : [{ place, record: { ...record, frame } }];
  });
  return onSome(edited, random, ({ place, record }) => replace(history, place, record));
}

/** Edits a change that is not the first of its segment, in a subscription to a group. */
export function editChange(
  history: History,
  random: Random,
  edit: (frame: ChangeFrame) => Frame,
): History | undefined {
  return onSome(groupPairs(history), random, ([, { place, record }]) =>
    replace(history, place, { ...record, frame: edit(record.frame as ChangeFrame) }),
  );
}

type Items = ListRecord["pages"][number]["items"];

/** Edits the items of a non-empty one-part sync of a group. */
export function editSync(
  history: History,
  random: Random,
  edit: (items: Items) => Items | undefined,
): History | undefined {
  const syncs = frames(history).flatMap(({ place, record, subscribe }) => {
    const { frame } = record;
    if (
      frame.type !== "sync" ||
      subscribe.item !== undefined ||
      frame.items.length === 0 ||
      !frame.last
    )
      return [];
    const items = edit(frame.items);
    return items === undefined
      ? []
      : [{ place, record: { ...record, frame: { ...frame, items } } }];
  });
  return onSome(syncs, random, ({ place, record }) => replace(history, place, record));
}

export function editFinal(
  history: History,
  random: Random,
  edit: (items: Items, list: ListRecord) => Items | undefined,
  positionOf?: (list: ListRecord) => ListRecord["pages"][number]["position"] | undefined,
): History | undefined {
  const finals = history.flatMap((record, place) => {
    const [page] = record.kind === "list" && record.final === true ? record.pages : [];
    if (record.kind !== "list" || page === undefined) return [];
    const items = edit(page.items, record);
    const position = positionOf === undefined ? page.position : positionOf(record);
    if (items === undefined || position === undefined) return [];
    if (positionOf !== undefined && position.revision === page.position.revision) return [];
    return [{ place, record: { ...record, pages: [{ ...page, items, position }] } }];
  });
  return onSome(finals, random, ({ place, record }) => replace(history, place, record));
}

/** Acknowledged sets of one item, with the write. */
export function ackedSets(history: History) {
  const writes = new Map(
    history.flatMap((record) => (record.kind === "write" ? [[record.id, record] as const] : [])),
  );
  return history.flatMap((record, place) => {
    const write = record.kind === "outcome" ? writes.get(record.id) : undefined;
    if (record.kind !== "outcome" || record.outcome !== "acked" || write === undefined) return [];
    return isSingleSet(write) ? [{ place, record, write }] : [];
  });
}

function isSingleSet({ mutations }: WriteRecord): boolean {
  return mutations.length === 1 && mutations[0]?.op === "set";
}

/** The first two revisions of each acknowledged batch that took two or more. */
export function batchesOf(history: History): { group: string; epoch: string; first: number }[] {
  const writes = new Map(
    history.flatMap((record) => (record.kind === "write" ? [[record.id, record] as const] : [])),
  );
  return history.flatMap((record) => {
    if (record.kind !== "outcome" || record.outcome !== "acked") return [];
    const positions = (record.results ?? []).flatMap(({ position }) => position ?? []);
    const [first, second] = positions;
    if (first === undefined || second === undefined) return [];
    return [
      { group: writes.get(record.id)?.group ?? "", epoch: first.epoch, first: first.revision },
    ];
  });
}
