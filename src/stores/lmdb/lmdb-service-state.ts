import type { ServiceState } from "../../core/service-state.ts";
import type { Tables, View, Write } from "./disk.ts";

const FIRST = Buffer.from([0]);
const END = Buffer.from([0xff]);

/** ServiceState in a separate table. Keys contain no control characters. */
export function createLmdbServiceState(
  tables: Tables,
  view: () => View,
  write: (writes: readonly Write[]) => Promise<void>,
): ServiceState {
  const table = tables.records;
  return {
    entries: () =>
      Array.from(view().range(table, FIRST, END), ({ key, value }) => [
        key.toString(),
        value.toString(),
      ]),
    put: (key, text) => write([{ table, key: Buffer.from(key), value: Buffer.from(text) }]),
    delete: (key) => write([{ table, key: Buffer.from(key), value: undefined }]),
  };
}
