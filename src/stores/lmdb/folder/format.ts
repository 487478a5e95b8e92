import {
  DATA_FORMATS,
  type DataFormat,
  KNOWN_FORMATS,
  isKnownFormat,
} from "../../../core/data-format.ts";
import type { StreamError } from "../../../core/errors.ts";
import type { Disk, Tables, View, Write } from "../disk.ts";

const FORMAT_KEY = Buffer.from("format");
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
  if (isKnownFormat(format)) return;
  if (format !== undefined) {
    throw refusal(
      `The folder ${folder} has data of format ${format}, this version reads formats ` +
        `${KNOWN_FORMATS.join(", ")}; use the version that wrote it, or choose another folder.`,
    );
  }
  await disk.submit([formatWrite(disk.tables, DATA_FORMATS.plain)]);
}

/** The format of the data. */
export function formatIn(view: View, tables: Tables): DataFormat {
  const format = formatOf(view, tables);
  return isKnownFormat(format) ? format : DATA_FORMATS.plain;
}

/** The write that goes with the first record of a format. */
export function formatWrite({ meta }: Tables, format: DataFormat): Write {
  return { table: meta, key: FORMAT_KEY, value: Buffer.from(format) };
}

function formatOf(view: View, tables: Tables): string | undefined {
  return view.get(tables.meta, FORMAT_KEY)?.toString();
}
