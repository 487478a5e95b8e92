import type { ChangeFrame, DeltaRecord, SubscribeRecord } from "../history.ts";
import type { Ledger } from "../ledger.ts";
import type { CheckContext } from "./context.ts";
import { whereOf } from "../trace.ts";

/**
 * An update comes as steps only to a subscription that asked for deltas, and its client holds the
 * item at the revision that they apply to (G3), which is that of the item's last change before
 * (G2). The value that they give is compared like that of any change.
 */
export function checkDeltas({ group, report }: CheckContext): void {
  for (const { segments } of group.subscriptions) {
    for (const { subscription, steps } of segments) {
      for (const { frame, index } of steps) {
        if (frame.type !== "change" || frame.delta === undefined) continue;
        const where = whereOf(subscription, index);
        const problem = problemOf(frame, frame.delta, subscription.record);
        if (problem !== undefined) report("G3", where, problem, frame);
        const other = otherBase(group.ledger(frame.position.epoch), frame, frame.delta);
        if (other !== undefined) report("G2", where, other, frame);
      }
    }
  }
}

function problemOf(
  { item, value, position }: ChangeFrame,
  { baseRevision, held, bare }: DeltaRecord,
  { deltas, window }: SubscribeRecord,
): string | undefined {
  const what = `Revision ${position.revision} of item ${JSON.stringify(item)} came as steps`;
  if (deltas !== true) return `${what} to a subscription that did not ask for deltas.`;
  // A client with a window ignores updates of older items.
  if (held === undefined && window !== undefined) return undefined;
  if (held === undefined) return `${what}, and the client does not hold the item.`;
  if (bare === true ? baseRevision > held : baseRevision !== held)
    return `${what} that apply to revision ${baseRevision}, and the client holds revision ${held}.`;
  if (value === undefined) return `${what} that have no effect on the value that the client holds.`;
  return undefined;
}

function otherBase(
  ledger: Ledger,
  { item, position }: ChangeFrame,
  { baseRevision }: DeltaRecord,
): string | undefined {
  const what = `The steps of revision ${position.revision} apply to revision ${baseRevision} of item ${JSON.stringify(item)}`;
  const between = ledger
    .factsOf(item)
    .find(({ revision }) => revision > baseRevision && revision < position.revision);
  if (between !== undefined) return `${what}, which changed at ${between.revision} after it.`;
  const base = ledger.at(baseRevision);
  if (base !== undefined && (base.item !== item || !base.put))
    return `${what}, which revision ${baseRevision} did not write.`;
  return undefined;
}
