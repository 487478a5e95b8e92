import type { StreamError } from "../../../core/errors.ts";
import type { Disk, Tables, View, Write } from "../disk.ts";

const FORMAT_KEY = Buffer.from("format");
/** Raised with every change of keys or records that older versions would misread. */
const FORMAT = "1";
/**
 * Format of data that contain authors. It is set with the first one, so that earlier versions, which
 * would misread records with authors, open data without them and no other.
 */
const FORMAT_WITH_AUTHORS = "2";

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
  if (format === FORMAT || format === FORMAT_WITH_AUTHORS) return;
  if (format !== undefined) {
    throw refusal(
      `The folder ${folder} has data of format ${format}, this version reads formats ${FORMAT} and ` +
        `${FORMAT_WITH_AUTHORS}; use the version that wrote it, or choose another folder.`,
    );
  }
  await disk.submit([formatWrite(disk.tables, FORMAT)]);
}

/** Whether the format already says that the data contain authors. */
export function mayContainAuthors(view: View, tables: Tables): boolean {
  return formatOf(view, tables) === FORMAT_WITH_AUTHORS;
}

/** The write that goes with the first author. */
export function authorsWrite(tables: Tables): Write {
  return formatWrite(tables, FORMAT_WITH_AUTHORS);
}

function formatOf(view: View, tables: Tables): string | undefined {
  return view.get(tables.meta, FORMAT_KEY)?.toString();
}

function formatWrite({ meta }: Tables, format: string): Write {
  return { table: meta, key: FORMAT_KEY, value: Buffer.from(format) };
}
