import type { Subscription } from "../attempts.ts";
import type { Fact } from "../ledger.ts";
import { whereOf } from "../trace.ts";
import type { CheckContext } from "./context.ts";

/**
 * A subscription that the service ended receives nothing that is committed after the response
 * (G11): no change, no snapshot that contains one, and no transient event that was sent later.
 */
export function checkRevoked(context: CheckContext): void {
  for (const subscription of context.group.subscriptions) {
    const { revokedAt } = subscription;
    if (revokedAt !== undefined) checkSubscription(context, subscription, revokedAt);
  }
}

function checkSubscription(
  { group, report }: CheckContext,
  subscription: Subscription,
  revokedAt: number,
): void {
  /** The first change of each epoch that was requested later. */
  const firstLater = new Map<string, Fact | undefined>();
  const laterIn = (epoch: string) => {
    if (!firstLater.has(epoch)) {
      const facts = group.ledger(epoch).facts();
      firstLater.set(
        epoch,
        // A write that is one of several possible ones proves nothing.
        facts.find(({ write, trace }) => trace !== "guess" && (write?.start ?? 0) > revokedAt),
      );
    }
    return firstLater.get(epoch);
  };
  for (const [index, { frame, t }] of subscription.frames.entries()) {
    const where = whereOf(subscription, index);
    if (frame.type === "event") {
      const sends = group.sends.filter(
        ({ record: { event, item, value } }) =>
          event === frame.event && item === frame.item && value === frame.value,
      );
      if (sends.length === 0 || sends.some(({ start }) => start <= revokedAt)) continue;
      report(
        "G11",
        where,
        "A transient event arrived that was sent after the subscription had been ended.",
        frame,
        `ended at ${revokedAt}, sent at ${sends[0]?.start}, received at ${t}`,
      );
    } else if (frame.type === "change" || frame.type === "sync") {
      const later = laterIn(frame.position.epoch);
      if (later === undefined || later.revision > frame.position.revision) continue;
      report(
        "G11",
        where,
        `A ${frame.type} showed revision ${later.revision}, whose write was requested after the subscription had been ended.`,
        frame,
        `ended at ${revokedAt}, requested at ${later.write?.start}, received at ${t}`,
      );
    }
  }
}
