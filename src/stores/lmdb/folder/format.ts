import type { StreamError } from "../../../core/errors.ts";
import type { Disk, Tables, View, Write } from "../disk.ts";

const FORMAT_KEY = Buffer.from("format");
/**
 * Format of data, as a digit. It is raised with the first record that earlier versions would misread:
 * so they open data without such records, and no other.
 */
export type Format = "1" | "2" | "3";
const FIRST_FORMAT: Format = "1";
/** Format of data that contain authors. */
export const FORMAT_WITH_AUTHORS: Format = "2";
/** Format of data that contain idempotency keys, and maybe authors. */
export const FORMAT_WITH_KEYS: Format = "3";

const FORMATS: readonly Format[] = [FIRST_FORMAT, FORMAT_WITH_AUTHORS, FORMAT_WITH_KEYS];

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
  const format = textOf(view, disk.tables);
  view.release();
  if (FORMATS.some((known) => known === format)) return;
  if (format !== undefined) {
    throw refusal(
      `The folder ${folder} has data of format ${format}, this version reads formats ${FIRST_FORMAT} to ` +
        `${FORMATS.at(-1)}; use the version that wrote it, or choose another folder.`,
    );
  }
  await disk.submit([formatWrite(disk.tables, FIRST_FORMAT)]);
}

/** The format of data that were checked. */
export function formatOf(view: View, tables: Tables): Format {
  return FORMATS.find((known) => known === textOf(view, tables)) ?? FIRST_FORMAT;
}

/** The write of a format, which goes with the first record that needs it. */
export function formatWrite({ meta }: Tables, format: Format): Write {
  return { table: meta, key: FORMAT_KEY, value: Buffer.from(format) };
}

function textOf(view: View, tables: Tables): string | undefined {
  return view.get(tables.meta, FORMAT_KEY)?.toString();
}
