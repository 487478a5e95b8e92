import type { StreamError } from "../../../core/errors.ts";
import type { Disk, Tables, View, Write } from "../disk.ts";

const FORMAT_KEY = Buffer.from("format");
/**
 * The formats, each with records that versions before it would misread: those with authors, and
 * those of logs with deltas, and those of idempotency keys. A format is set with the first such record, so that earlier versions
 * open data without them and no other.
 */
const FORMATS = ["1", "2", "3", "4"] as const;

/** Which records data may contain: those of the format, and of those before it. */
export type Contents = (typeof FORMATS)[number];

/** No records that the first version would misread. */
const PLAIN: Contents = "1";
/** Records with authors. */
export const AUTHORS: Contents = "2";
/** Logs with deltas. */
export const DELTAS: Contents = "3";
/** Idempotency keys. */
export const KEYS: Contents = "4";

/**
 * Checks that this version reads the format of the data. New data get the first format.
 *
 * @param refusal The error for a folder, from a sentence.
 */
export async function checkFormat(
  disk: Disk,
  folder: string,
  refusal: (sentence: string) => StreamError,
): Promise<void> {
  const view = disk.view();
  const format = formatOf(view, disk.tables);
  view.release();
  if (isKnown(format)) return;
  if (format !== undefined) {
    throw refusal(
      `The folder ${folder} has data of format ${format}, this version reads formats ` +
        `${FORMATS.join(", ")}; use the version that wrote it, or choose another folder.`,
    );
  }
  await disk.submit([formatWrite(disk.tables, PLAIN)]);
}

/** What the format of the data says. */
export function contentsOf(view: View, tables: Tables): Contents {
  const format = formatOf(view, tables);
  return isKnown(format) ? format : PLAIN;
}

/** The write that goes with the first record of a format. */
export function formatWrite({ meta }: Tables, format: Contents): Write {
  return { table: meta, key: FORMAT_KEY, value: Buffer.from(format) };
}

function isKnown(format: string | undefined): format is Contents {
  return FORMATS.some((known) => known === format);
}

function formatOf(view: View, tables: Tables): string | undefined {
  return view.get(tables.meta, FORMAT_KEY)?.toString();
}
