import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { type Json, type StreamService, createStreamService, memoryStore } from "millrace";
import { onTestFinished } from "vitest";

export const PLACE = { streamName: "answers", groupId: "g", itemId: "m1", path: "text" };

/** A service that closes after the test. */
export function open(): StreamService {
  const service = createStreamService({ store: memoryStore() });
  onTestFinished(() => service.close());
  return service;
}

/** A model that says chunks, with a pause before each. */
export async function* model(chunks: readonly string[], pauseMs = 0): AsyncGenerator<string> {
  for (const chunk of chunks) {
    if (pauseMs > 0) await delay(pauseMs);
    else await turn();
    yield chunk;
  }
}

/** The item's value. */
export async function read(service: StreamService): Promise<Json | undefined> {
  return (await service.get(PLACE))?.data;
}
