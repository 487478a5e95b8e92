import type { SnapshotItem, SyncFrame } from "./history.ts";
import type { Segment, Step, Subscription } from "./attempts.ts";
import type { Report, Where } from "./violation.ts";

interface Draft extends Segment {
  items: SnapshotItem[];
  complete: boolean;
  openedAt: number;
  frame: number;
  steps: Step[];
  endsAt: number;
}

/** The location of a frame in a subscription. */
export function whereOf(subscription: Subscription, frame?: number): Where {
  const { group, subscriber, subscription: id } = subscription.record;
  return { group, client: subscriber, subscription: id, frame };
}

/**
 * Splits the frames of an attempt into segments. Reports misplaced frames (G3): before any opening,
 * between the parts of a sync, or parts that do not belong together.
 */
export function traceSubscription(subscription: Subscription, report: Report): readonly Segment[] {
  const segments: Draft[] = [];
  const fault = (index: number, message: string, evidence: unknown) =>
    report("G3", whereOf(subscription, index), message, evidence);
  const open = (draft: Omit<Draft, "subscription" | "index" | "endsAt" | "steps">): void => {
    const before = segments.at(-1);
    if (before !== undefined) before.endsAt = draft.openedAt;
    segments.push({ ...draft, subscription, index: segments.length, steps: [], endsAt: Infinity });
  };

  subscription.frames.forEach(({ frame, t }, index) => {
    const current = segments.at(-1);
    if (frame.type === "sync") {
      if (frame.first) open(syncDraft(frame, t, index));
      else if (current === undefined || current.complete)
        fault(index, "A later part of a sync came without a first part.", frame);
      else continueSync(current, frame, t, index, fault);
    } else if (frame.type === "resumed") {
      if (current !== undefined && !current.complete)
        fault(index, "A resumed frame came between the parts of a sync.", frame);
      const { position: base, head } = frame;
      open({
        kind: "resumed",
        base,
        head,
        items: [],
        timestamp: undefined,
        complete: true,
        openedAt: t,
        frame: index,
      });
    } else if (current === undefined) {
      fault(index, `A ${frame.type} frame came before any sync or resumed frame.`, frame);
    } else if (!current.complete) {
      fault(index, `A ${frame.type} frame came between the parts of a sync.`, frame);
    } else {
      current.steps.push({ frame, t, index });
    }
  });
  const last = segments.at(-1);
  if (last !== undefined && subscription.end !== undefined) last.endsAt = subscription.end.t;
  return segments;
}

function syncDraft(
  frame: SyncFrame,
  t: number,
  index: number,
): Omit<Draft, "subscription" | "index" | "endsAt" | "steps"> {
  const { position: base, items, timestamp, last: complete } = frame;
  return {
    kind: "sync",
    base,
    head: undefined,
    items: [...items],
    timestamp,
    complete,
    openedAt: t,
    frame: index,
  };
}

function continueSync(
  segment: Draft,
  frame: SyncFrame,
  t: number,
  index: number,
  fault: (index: number, message: string, evidence: unknown) => void,
): void {
  const { position, timestamp } = frame;
  if (position.epoch !== segment.base.epoch || position.revision !== segment.base.revision) {
    const [a, b] = [segment.base.revision, position.revision];
    fault(index, `Parts of one sync are at different positions: ${a} and ${b}.`, [
      segment.base,
      position,
    ]);
  } else if (timestamp !== segment.timestamp) {
    fault(
      index,
      `Parts of one sync have different timestamps: ${segment.timestamp} and ${timestamp}.`,
      position,
    );
  }
  for (const item of frame.items) segment.items.push(item);
  segment.complete = frame.last;
  segment.openedAt = t;
  segment.frame = index;
}
