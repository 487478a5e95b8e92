import type {
  EndRecord,
  FrameRecord,
  GetRecord,
  History,
  ListRecord,
  OutcomeRecord,
  SendRecord,
  SubscribeRecord,
  WriteRecord,
} from "./history.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import type { Send, Subscription, Write } from "./attempts.ts";
import type { Report } from "./violation.ts";

/** Everything in a history about one group. */
export interface GroupModel {
  readonly group: string;
  readonly writes: readonly Write[];
  readonly sends: readonly Send[];
  readonly subscriptions: readonly Subscription[];
  readonly lists: readonly ListRecord[];
  readonly gets: readonly GetRecord[];
  /** The ledger of each epoch; that of the origin, `""`, once a client has seen it. */
  readonly ledgers: ReadonlyMap<string, Ledger>;
  /** The ledger of an epoch, created when it is missing. */
  ledger(epoch: string): Ledger;
  /** The last final listing whose pages have one position. */
  readonly final: ListRecord | undefined;
}

interface Draft extends GroupModel {
  readonly writes: Write[];
  readonly sends: Send[];
  readonly subscriptions: Subscription[];
  readonly lists: ListRecord[];
  readonly gets: GetRecord[];
  final: ListRecord | undefined;
}

/** What is known of an attempt to subscribe. */
interface Attempt {
  readonly frames: FrameRecord[];
  end: EndRecord | undefined;
  revokedAt: number | undefined;
}

/** Groups a history by group, and joins related records. Reports records that do not match. */
export function buildModel(history: History, report: Report): readonly GroupModel[] {
  const groups = new Map<string, Draft>();
  const intentions: (WriteRecord | SendRecord)[] = [];
  const ids = new Set<string>();
  const outcomes = new Map<string, OutcomeRecord>();
  const attempts = new Map<string, Attempt>();
  const subscribes: SubscribeRecord[] = [];

  const group = (name: string): Draft => {
    let draft = groups.get(name);
    if (draft === undefined) groups.set(name, (draft = emptyGroup(name)));
    return draft;
  };
  const isNew = (id: string): boolean => {
    if (ids.has(id)) report("record", {}, `The id ${id} was used twice.`);
    const fresh = !ids.has(id);
    ids.add(id);
    return fresh;
  };

  for (const record of history) {
    switch (record.kind) {
      case "write":
      case "send":
        if (isNew(record.id)) intentions.push(record);
        break;
      case "outcome":
        if (outcomes.has(record.id))
          report("record", {}, `The call ${record.id} has two outcomes.`, record);
        else outcomes.set(record.id, record);
        break;
      case "subscribe":
        if (!isNew(record.subscription)) break;
        subscribes.push(record);
        attempts.set(record.subscription, { frames: [], end: undefined, revokedAt: undefined });
        break;
      case "frame":
      case "end": {
        const attempt = attempts.get(record.subscription);
        if (attempt === undefined || attempt.end !== undefined) {
          const when = attempt === undefined ? "before it began" : "after it ended";
          report(
            "record",
            { subscription: record.subscription },
            `The attempt has a record ${when}.`,
            record,
          );
        } else if (record.kind === "end") attempt.end = record;
        else attempt.frames.push(record);
        break;
      }
      case "revoked": {
        const attempt = attempts.get(record.subscription);
        if (attempt !== undefined) attempt.revokedAt ??= record.t;
        else
          report("record", { subscription: record.subscription }, "It was ended before it began.");
        break;
      }
      case "list": {
        const draft = group(record.group);
        draft.lists.push(record);
        if (record.final !== true) break;
        if (isOneSnapshot(record)) draft.final = record;
        else
          report(
            "record",
            { group: record.group },
            "The final listing was taken during writes: its pages differ in position.",
          );
        break;
      }
      case "get":
        group(record.group).gets.push(record);
        break;
    }
  }

  for (const record of intentions) {
    const answer = outcomes.get(record.id);
    outcomes.delete(record.id);
    const common = {
      start: record.t,
      end: answer?.t ?? Infinity,
      outcome: answer?.outcome ?? "unknown",
    } as const;
    if (record.kind === "send") group(record.group).sends.push({ record, ...common });
    else group(record.group).writes.push({ record, answer, ...common, ...place(record, answer) });
  }
  for (const id of outcomes.keys()) report("record", {}, `The outcome of ${id} has no intention.`);
  for (const record of subscribes) {
    const { frames = [], end, revokedAt } = attempts.get(record.subscription) ?? {};
    group(record.group).subscriptions.push({ record, frames, end, revokedAt, segments: [] });
  }
  return [...groups.values()];
}

/** Whether all pages carry one position, so that the listing is the state at it. */
export function isOneSnapshot(list: ListRecord): boolean {
  const first = list.pages[0]?.position;
  return (
    first !== undefined &&
    list.pages.every(
      ({ position }) => position.epoch === first.epoch && position.revision === first.revision,
    )
  );
}

function emptyGroup(name: string): Draft {
  const ledgers = new Map<string, Ledger>();
  return {
    group: name,
    writes: [],
    sends: [],
    subscriptions: [],
    lists: [],
    gets: [],
    ledgers,
    ledger(epoch) {
      let ledger = ledgers.get(epoch);
      if (ledger === undefined) ledgers.set(epoch, (ledger = createLedger(epoch)));
      return ledger;
    },
    final: undefined,
  };
}

/** The revision of each mutation, as far as the response states or implies it. */
function place(
  record: WriteRecord,
  answer: OutcomeRecord | undefined,
): Pick<Write, "revisions" | "placed"> {
  const { mutations } = record;
  const none = mutations.map(() => undefined);
  if (answer?.outcome !== "acked") return { revisions: none, placed: false };
  const { position, results } = answer;
  if (mutations.length === 1) {
    const revision = results?.[0]?.position?.revision ?? position?.revision;
    // A batch that only deletes a missing item has the position of the group but no revision.
    if (record.batch === true && mutations[0]?.op === "delete") {
      return { revisions: [results?.[0]?.position?.revision], placed: results !== undefined };
    }
    return {
      revisions: [revision],
      placed: revision !== undefined || mutations[0]?.op === "delete",
    };
  }
  if (
    results !== undefined &&
    mutations.every(({ op }, i) => op === "delete" || results[i]?.position !== undefined)
  ) {
    return { revisions: mutations.map((_, i) => results[i]?.position?.revision), placed: true };
  }
  if (position !== undefined && mutations.every(({ op }) => op !== "delete")) {
    const first = position.revision - mutations.length + 1;
    return { revisions: mutations.map((_, i) => first + i), placed: true };
  }
  return { revisions: none, placed: false };
}
