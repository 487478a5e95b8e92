import type { Store } from "../core/store.ts";
import type { StreamsOptions } from "./stream-options.ts";
import { StreamTable } from "./stream-settings.ts";

/** The settings of streams over a store that was opened without them. @throws StreamSettingError */
export function streamsOver(store: Store, options: StreamsOptions | undefined): StreamTable {
  const streams = new StreamTable(undefined, options);
  if (!streams.limitsHistory) return streams;
  if (store.useHistory === undefined)
    throw new Error("streams set a history, but the store has one history for all streams.");
  let ofStore = streams;
  store.useHistory((own) => {
    ofStore = new StreamTable(own, options);
    return (streamName) => ofStore.of(streamName).history;
  });
  return ofStore;
}
