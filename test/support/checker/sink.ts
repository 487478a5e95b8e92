import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import type { History, HistoryRecord } from "./history.ts";

/** The destination of a recorder's records. */
export interface RecordSink {
  /** Appends one record. Once it returns, the record survives the death of this process. */
  append(record: HistoryRecord): void;
}

/** A sink in memory, for tests of one process. */
export interface MemorySink extends RecordSink {
  /** Everything appended so far. */
  readonly records: HistoryRecord[];
}

/** Creates a sink in memory. */
export function memorySink(): MemorySink {
  const records: HistoryRecord[] = [];
  return { records, append: (record) => void records.push(record) };
}

/** A sink to a file. */
export interface FileSink extends RecordSink {
  /** Closes the file. Idempotent. */
  close(): void;
}

/**
 * Creates a sink that appends one line of JSON per record to a file, each with one system call, so
 * that a `kill -9` of any process loses no complete record. (A power failure may.)
 */
export function fileSink(path: string): FileSink {
  let file: number | undefined = openSync(path, "a");
  return {
    append(record) {
      if (file === undefined) throw new Error("the record file is closed");
      const line = Buffer.from(`${JSON.stringify(record)}\n`);
      for (let written = 0; written < line.length;) written += writeSync(file, line, written);
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}

/**
 * Reads the records of several files, one after the other. A last line that the death of its writer
 * cut short is skipped. Any other line that is not JSON is an error.
 */
export function loadHistory(files: readonly string[]): History {
  const records: HistoryRecord[] = [];
  for (const path of files)
    readLines(path, (line) => records.push(JSON.parse(line) as HistoryRecord));
  return records;
}

function readLines(path: string, take: (line: string) => void): void {
  const file = openSync(path, "r");
  const chunk = Buffer.allocUnsafe(4 * 1024 * 1024);
  const decoder = new StringDecoder("utf8");
  let number = 0;
  let rest = "";
  try {
    for (let size = readSync(file, chunk); size > 0; size = readSync(file, chunk)) {
      const lines = (rest + decoder.write(chunk.subarray(0, size))).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        number++;
        try {
          take(line);
        } catch (cause) {
          throw new Error(`${path}:${number} is not a record`, { cause });
        }
      }
    }
  } finally {
    closeSync(file);
  }
}
