import { expect, it } from "vitest";
import type { ChangeEvent } from "../../src/core/change.ts";
import type { SyncFrame } from "../../src/core/frame.ts";
import type { BoundTrigger } from "../../src/core/trigger.ts";
import { Value } from "../../src/core/value.ts";
import { Starts } from "../../src/triggers/starts.ts";
import type { StateSource } from "../../src/triggers/state-source.ts";

const GROUP = { streamName: "s", groupId: "g" };
const TRIGGER: BoundTrigger = {
  id: "t",
  definition: {
    type: "stream",
    functionId: "f",
    config: { streamName: "s", durable: "d", start: "state" },
    metadata: undefined,
  },
};

function change(epoch: string, revision: number, timestamp: number): ChangeEvent {
  return {
    ...{ kind: "change", type: "update", itemId: "i", value: Value.of(1), author: "" },
    ...{ position: { epoch, revision }, timestamp, timeMs: timestamp },
  };
}

/** A source whose groups are empty, at one position. */
function sourceAt(epoch: string, revision: number, timestamp: number): StateSource {
  const frame: SyncFrame = {
    ...{ kind: "sync", items: [], position: { epoch, revision } },
    ...{ first: true, last: true, timestamp },
  };
  return {
    groups: async () => [],
    async *read() {
      yield frame;
    },
    mark: async () => {},
  };
}

it("the state replaces an event of a new epoch when history was lost before it", async () => {
  const starts = new Starts(sourceAt("c", 9, 9));
  expect(starts.judge(GROUP, change("a", 7, 1), TRIGGER)).toBe("event");
  // The group was forgotten, and begins anew.
  expect(starts.judge(GROUP, change("b", 1, 2), TRIGGER)).toBe("event");
  expect(starts.judge(GROUP, change("b", 2, 3), TRIGGER)).toBe("event");
  const job = starts.judge(GROUP, change("c", 5, 8), TRIGGER);
  if (typeof job === "string") throw new Error(`it comes as ${job}`);
  const payloads: unknown[] = [];
  for await (const payload of job.parts?.() ?? []) payloads.push(JSON.parse(payload));
  expect(payloads).toMatchObject([
    { epoch: "c", revision: 9, event: { type: "sync", data: [], ids: [], reason: "lost_history" } },
  ]);
  expect(starts.judge(GROUP, change("c", 9, 9), TRIGGER)).toBe("covered");
  expect(starts.judge(GROUP, change("c", 10, 10), TRIGGER)).toBe("event");
});
