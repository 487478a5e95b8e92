/*
 * Bases that a log needs. Delta entries (see log-entry.ts) are read with entries before them, which
 * may have left the log already: those stay stored, but are never replayed or listed.
 *
 * A pin [from, to] says that entries up to `to` need entries from `from` on. Both grow from pin to
 * pin. A delta entry is written only while its whole entry is in the log, so a pin spans at most one
 * window of the log when it is made; extended, at most two. So no more than two windows of bases are
 * stored beside the log.
 */

/** Entries up to revision `to` need the entries from revision `from` on. */
export interface Pin {
  readonly from: number;
  readonly to: number;
}

/** Most pins of one log. */
export const MAX_PINS = 8;

/** No pins. */
export const NO_PINS: readonly Pin[] = Object.freeze([]);

/**
 * The pins after a new delta entry. When there are MAX_PINS already, the last one is extended.
 *
 * @param wholeRevision Revision of the whole entry of its chain.
 */
export function withPin(
  pins: readonly Pin[],
  wholeRevision: number,
  revision: number,
): readonly Pin[] {
  let count = pins.length;
  while (count > 0 && pins[count - 1]!.from >= wholeRevision) count--;
  if (count === MAX_PINS) {
    const last = pins[count - 1]!;
    return [...pins.slice(0, -1), { from: last.from, to: revision }];
  }
  return [...pins.slice(0, count), { from: wholeRevision, to: revision }];
}

/**
 * The pins that a log beginning at a revision still needs.
 *
 * @param logStart Revision of its oldest change; `headRevision + 1` while it is empty.
 */
export function pinsFrom(pins: readonly Pin[], logStart: number): readonly Pin[] {
  let passed = 0;
  while (passed < pins.length && pins[passed]!.to < logStart) passed++;
  return passed === 0 ? pins : pins.slice(passed);
}

/** Revision of the oldest entry that has to stay stored. @param pins Those of `pinsFrom`. */
export function storedFrom(pins: readonly Pin[], logStart: number): number {
  return Math.min(logStart, pins[0]?.from ?? logStart);
}
