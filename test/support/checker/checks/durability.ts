import type { CheckContext } from "./context.ts";

/** A group of a store that loses nothing keeps its epoch (G6). */
export function checkDurability({ group, settings, report }: CheckContext): void {
  if (!settings.durable) return;
  const epochs = [...group.ledgers.values()].filter(
    ({ epoch, shown }) => epoch !== "" && shown.entries().length > 0,
  );
  if (epochs.length < 2) return;
  const firsts = epochs.map(({ epoch, shown }) => ({ epoch, at: shown.entries()[0] }));
  firsts.sort((a, b) => (a.at?.t ?? 0) - (b.at?.t ?? 0));
  const names = firsts.map(({ epoch }) => JSON.stringify(epoch)).join(", ");
  report(
    "G6",
    { ...firsts[1]?.at?.where, group: group.group },
    `The group had ${epochs.length} epochs: ${names}. History was lost.`,
  );
}
