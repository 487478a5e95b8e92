import { afterEach, describe, expect, it } from "vitest";
import type { GroupEvent } from "../../src/core/change.ts";
import { groupKeyText } from "../../src/core/names.ts";
import { Value } from "../../src/core/value.ts";
import { createWatchers } from "../../src/core/watchers.ts";

const group = { streamName: "s", groupId: "g" };
const key = groupKeyText(group);
const event = (type: string): GroupEvent => ({
  kind: "event",
  type,
  itemId: undefined,
  value: Value.of(null),
  after: { epoch: "", revision: 0 },
  timestamp: 1,
  author: "",
});

describe("watchers", () => {
  let uncaught: unknown[] = [];
  const collect = (error: unknown) => uncaught.push(error);
  afterEach(() => {
    process.off("uncaughtException", collect);
    uncaught = [];
  });

  it("finish an announcement before one that a listener makes", () => {
    const watchers = createWatchers();
    const received: string[] = [];
    watchers.add(group, ({ type }) => {
      received.push(`first ${type}`);
      if (type === "1") watchers.announce(key, [event("3")]);
    });
    watchers.add(group, ({ type }) => received.push(`second ${type}`));
    watchers.announce(key, [event("1"), event("2")]);
    expect(received).toEqual(["first 1", "second 1", "first 2", "second 2", "first 3", "second 3"]);
  });

  it("do not deliver the current event to a listener added by it", () => {
    const watchers = createWatchers();
    const received: string[] = [];
    let added = false;
    watchers.add(group, () => {
      if (added) return;
      added = true;
      watchers.add(group, ({ type }) => received.push(type));
    });
    watchers.announce(key, [event("1"), event("2")]);
    expect(received).toEqual(["2"]);
  });

  it("isolate a listener's failure from the other listeners and from the announcer", async () => {
    const watchers = createWatchers();
    const received: string[] = [];
    const failure = new Error("A listener failed.");
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", collect);
    watchers.add(group, () => {
      throw failure;
    });
    watchers.add(group, ({ type }) => received.push(type));
    watchers.announce(key, [event("1"), event("2")]);
    expect(received).toEqual(["1", "2"]);
    await new Promise((resolve) => setImmediate(resolve));
    for (const listener of others) process.on("uncaughtException", listener);
    expect(uncaught).toEqual([failure, failure]);
  });

  it("remove all listeners at once", () => {
    const watchers = createWatchers();
    const received: string[] = [];
    const stop = watchers.add(group, ({ type }) => received.push(type));
    watchers.clear();
    watchers.announce(key, [event("1")]);
    stop();
    watchers.add(group, ({ type }) => received.push(type));
    watchers.announce(key, [event("2")]);
    expect(received).toEqual(["2"]);
  });
});
