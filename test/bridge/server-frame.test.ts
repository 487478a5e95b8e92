import { describe, expect, it } from "vitest";
import { eventFrame, syncFrame } from "../../src/bridge/server-frame.ts";
import type { ChangeEvent, TransientEvent } from "../../src/core/change.ts";
import { Value } from "../../src/core/value.ts";
import type { BridgeFrame } from "../support/bridge-frame.ts";

const GROUP = { streamName: "s", groupId: "g" };
const position = { epoch: "e", revision: 1 };
const value = Value.of(1);
const change = (author: string): ChangeEvent => ({
  ...{ kind: "change", type: "update", itemId: "i", value, position, timestamp: 5, timeMs: 5 },
  author,
});
const event = (author: string): TransientEvent => ({
  ...{ kind: "event", type: "ping", itemId: undefined, value, after: position, timestamp: 6 },
  author,
});

const item = (author: string) => ({
  ...{ itemId: "é", value, revision: 1, createTimeMs: 5, updateTimeMs: 6 },
  author,
});

/** The text of a frame, whose header has two or four bytes. */
function textOf(frame: Buffer): string {
  return frame.subarray(frame[1] === 126 ? 4 : 2).toString();
}

describe("frames of events on sockets", () => {
  it.each([
    ["changes", change],
    ["transient events", event],
  ])("have the author last, for sockets that get authors: %s", (_what, of) => {
    const author = 'user:"é"';
    const text = textOf(eventFrame(of(author), true, GROUP));
    expect(text.endsWith(`,"author":${JSON.stringify(author)}}`)).toBe(true);
    expect((JSON.parse(text) as BridgeFrame).author).toBe(author);
  });

  it.each([
    ["changes", change],
    ["transient events", event],
  ])("have no author for other sockets, and are otherwise the same: %s", (_what, of) => {
    const authored = of("user:ann");
    const { author, ...rest } = JSON.parse(
      textOf(eventFrame(authored, true, GROUP)),
    ) as BridgeFrame;
    expect(author).toBe("user:ann");
    expect(JSON.parse(textOf(eventFrame(authored, false, GROUP)))).toEqual(rest);
  });

  it.each([
    ["changes", change],
    ["transient events", event],
  ])("without author are one buffer for all sockets: %s", (_what, of) => {
    const plain = of("");
    const frame = eventFrame(plain, true, GROUP);
    expect(eventFrame(plain, false, GROUP)).toBe(frame);
    expect(textOf(frame)).not.toContain("author");
  });
});

describe("items of snapshots on sockets", () => {
  const form = {
    ...GROUP,
    ...{ itemId: undefined, subscriptionId: "s", parts: false, items: true, window: undefined },
  };
  const itemsOf = (author: string, withAuthors: boolean) => {
    const sync = { items: [item(author)], position, first: true, last: true, timestamp: 5 };
    const { event } = JSON.parse(textOf(syncFrame(form, sync, withAuthors))) as BridgeFrame;
    return event.items;
  };
  const plain = { id: "é", data: 1, revision: 1, createTime: 5, updateTime: 6 };

  it("have authors only for sockets that get authors", () => {
    expect(itemsOf('user:"é"', true)).toEqual([{ ...plain, author: 'user:"é"' }]);
    expect(itemsOf('user:"é"', false)).toEqual([plain]);
  });

  it("have no author if they have none", () => {
    expect(itemsOf("", true)).toEqual([plain]);
  });
});
