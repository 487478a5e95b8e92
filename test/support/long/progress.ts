import type { RecordSink } from "../checker/index.ts";

/** A sink that also counts the progress of clients, so that tests wait for work, not for time. */
export interface Progress extends RecordSink {
  /** Resolves after `count` further acknowledgements. */
  calls(count: number): Promise<void>;
}

/** Counts acknowledgements on their way into a sink. */
export function createProgress(sink: RecordSink): Progress {
  let acked = 0;
  let waiting: { at: number; resolve: () => void }[] = [];
  return {
    append(record) {
      sink.append(record);
      if (record.kind !== "outcome" || record.outcome !== "acked") return;
      acked++;
      for (const { at, resolve } of waiting) if (acked >= at) resolve();
      waiting = waiting.filter(({ at }) => acked < at);
    },
    calls: (count) =>
      count === 0
        ? Promise.resolve()
        : new Promise((resolve) => waiting.push({ at: acked + count, resolve })),
  };
}
