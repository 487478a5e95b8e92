import { whereOf } from "../trace.ts";
import type { CheckContext } from "./context.ts";

/**
 * A subscription that the service ended receives nothing that is committed after the response
 * (G11): no change, and no snapshot that contains one.
 */
export function checkRevoked({ group, report }: CheckContext): void {
  for (const subscription of group.subscriptions) {
    const { revokedAt, frames } = subscription;
    if (revokedAt === undefined) continue;
    for (const [index, { frame, t }] of frames.entries()) {
      if (frame.type !== "change" && frame.type !== "sync") continue;
      const { epoch, revision } = frame.position;
      const later = group
        .ledger(epoch)
        .facts()
        .find((fact) => fact.revision <= revision && (fact.write?.start ?? -Infinity) > revokedAt);
      if (later === undefined) continue;
      report(
        "G11",
        whereOf(subscription, index),
        `A ${frame.type} showed revision ${later.revision}, whose write was requested after the subscription had been ended.`,
        frame,
        `ended at ${revokedAt}, requested at ${later.write?.start}, received at ${t}`,
      );
    }
  }
}
