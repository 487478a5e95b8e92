import type { EventFrame, FrameRecord } from "../history.ts";
import type { Send, Segment, Step } from "../attempts.ts";
import { countUpTo } from "../search.ts";
import { whereOf } from "../trace.ts";
import type { CheckContext } from "./context.ts";

/** All sends that look the same, and the time when one was first known to have happened. */
interface Sent {
  readonly sends: Send[];
  knownAt: number;
}

/**
 * Transient events: each was sent, reaches an attempt at most once, is never replayed to an attempt
 * that began later, reaches only matching subscriptions, and never comes before a change that was
 * acknowledged before the send, nor within a replay. With `expectEvents`, an event sent after a
 * segment was opened arrives in it.
 */
export function checkEvents(context: CheckContext): void {
  const sent = new Map<string, Sent>();
  for (const send of context.group.sends) {
    const key = keyOf(send.record);
    const entry = sent.get(key) ?? { sends: [], knownAt: Infinity };
    entry.sends.push(send);
    if (send.outcome === "acked") entry.knownAt = Math.min(entry.knownAt, send.end);
    sent.set(key, entry);
  }
  for (const { frames } of context.group.subscriptions) {
    for (const { frame, t } of frames) {
      const entry = frame.type === "event" ? sent.get(keyOf(frame)) : undefined;
      if (entry !== undefined) entry.knownAt = Math.min(entry.knownAt, t);
    }
  }
  for (const { segments, record } of context.group.subscriptions) {
    const counts = new Map<string, number>();
    for (const segment of segments) checkSegment(context, segment, sent, counts);
    if (context.settings.expectEvents && record.slow !== true) {
      for (const segment of segments) checkArrived(context, segment, counts);
    }
  }
}

function checkSegment(
  context: CheckContext,
  segment: Segment,
  sent: Map<string, Sent>,
  counts: Map<string, number>,
): void {
  const { report, settings } = context;
  const { record } = segment.subscription;
  let { epoch, revision: last } = segment.base;
  for (const step of segment.steps) {
    const { frame, index } = step;
    if (frame.type === "change") {
      epoch = frame.position.epoch;
      last = Math.max(last, frame.position.revision);
    }
    if (frame.type !== "event") continue;
    const fault = (message: string, ...evidence: unknown[]) =>
      report("events", whereOf(segment.subscription, index), message, frame, ...evidence);

    if (record.item !== undefined && frame.item !== record.item) {
      fault(
        `An event that is not about item ${JSON.stringify(record.item)} came to a subscription of it.`,
      );
    }
    const key = keyOf(frame);
    const entry = sent.get(key);
    const sends = entry?.sends.filter(({ outcome }) => outcome !== "refused") ?? [];
    if (entry === undefined || sends.length === 0) {
      if (settings.allWritesRecorded)
        fault(
          entry === undefined
            ? "An event came that no client sent."
            : "An event came that was refused.",
        );
      continue;
    }
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    if (count > sends.length)
      fault(
        `An event came ${count} times, but was sent ${sends.length === 1 ? "once" : `${sends.length} times`}.`,
      );
    if (sends.length === 1 && entry.knownAt + settings.slackMs < record.t) {
      fault(
        "An event came to a subscription that began after it: it was replayed.",
        `known at ${entry.knownAt}, began at ${record.t}`,
      );
    }
    const start = Math.min(...sends.map((send) => send.start));
    if (start > step.t) fault("An event came before it was sent.");
    checkFollows(context, segment, { ...step, frame }, start, epoch, last);
  }
}

/** The changes that precede an event arrived before it. */
function checkFollows(
  { group, settings, report }: CheckContext,
  segment: Segment,
  step: Step & { readonly frame: EventFrame },
  sentAt: number,
  epoch: string,
  last: number,
): void {
  const where = whereOf(segment.subscription, step.index);
  const { item } = segment.subscription.record;
  const lacks = (upTo: number, ofEpoch: string): number | undefined => {
    if (upTo <= last) return undefined;
    if (item === undefined) return last + 1;
    const facts = group.ledger(ofEpoch).factsOf(item);
    const next = facts[countUpTo(facts, last, (fact) => fact.revision)]?.revision;
    return next !== undefined && next <= upTo ? next : undefined;
  };
  const fromOrigin = epoch === "" && last === 0;
  const { head } = segment;
  const replayed =
    head !== undefined && (head.epoch === epoch || fromOrigin)
      ? lacks(head.revision, head.epoch)
      : undefined;
  if (replayed !== undefined) {
    report(
      "events",
      where,
      `An event came within the replay: revision ${replayed} was still to come.`,
      step.frame,
      head,
    );
    return;
  }
  for (const ledger of group.ledgers.values()) {
    // The origin is followed by the only epoch, unless the store may have lost others.
    if (ledger.epoch !== epoch && !(fromOrigin && settings.durable)) continue;
    const floor = ledger.acked.floorBefore(sentAt);
    const missing = floor === undefined ? undefined : lacks(floor.revision, ledger.epoch);
    if (floor === undefined || missing === undefined) continue;
    const message = `An event came before revision ${missing}, although revision ${floor.revision} was acknowledged before it was sent.`;
    report("events", where, message, step.frame, `acknowledged at ${floor.t}, sent at ${sentAt}`);
  }
}

function checkArrived(
  { group, settings, report }: CheckContext,
  segment: Segment,
  counts: Map<string, number>,
): void {
  const { subscription, openedAt, endsAt, complete } = segment;
  const { item } = subscription.record;
  const until = Math.min(endsAt, lastKnown(subscription.frames, group.final?.t));
  if (!complete) return;
  for (const { record, start, end, outcome } of group.sends) {
    if (outcome !== "acked" || start <= openedAt || end + settings.slackMs > until) continue;
    if (item !== undefined && record.item !== item) continue;
    if (counts.has(keyOf(record))) continue;
    const message = "An event that was sent while the subscription was live did not arrive.";
    report(
      "events",
      whereOf(subscription, segment.frame),
      message,
      record,
      `opened at ${openedAt}, live until ${until}`,
    );
  }
}

/** The time until which a subscription without an end is known to have been live. */
function lastKnown(frames: readonly FrameRecord[], final: number | undefined): number {
  return Math.max(frames.at(-1)?.t ?? -Infinity, final ?? -Infinity);
}

function keyOf({ event, item, value }: { event: string; item?: string; value: string }): string {
  return JSON.stringify([event, item ?? null, value]);
}
