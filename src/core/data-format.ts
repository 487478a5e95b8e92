/**
 * The formats of stored data, each with records that versions before it would misread: those with
 * authors, those of logs with deltas, and those of idempotency keys. A store sets a format with, or
 * before, the first such record: so earlier versions open data without them, and no other.
 */
export const DATA_FORMATS = { plain: "1", authors: "2", deltas: "3", keys: "4" } as const;

/** A format of stored data: it has the records of that format, and of those before it. */
export type DataFormat = (typeof DATA_FORMATS)[keyof typeof DATA_FORMATS];

/** The formats that this version reads, in their order. */
export const KNOWN_FORMATS: readonly DataFormat[] = Object.values(DATA_FORMATS);

/** Whether this version reads a format. */
export function isKnownFormat(format: string | undefined): format is DataFormat {
  return KNOWN_FORMATS.some((known) => known === format);
}
