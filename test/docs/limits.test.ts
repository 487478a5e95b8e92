import { describe, expect, it } from "vitest";
import { MAX_NAME_BYTES } from "../../src/core/names.ts";
import { DEFAULT_HISTORY } from "../../src/core/store.ts";
import { MAX_VALUE_BYTES, MAX_VALUE_DEPTH } from "../../src/core/value.ts";
import { DEFAULT_QUEUE_LIMITS as SUBSCRIBER_QUEUE } from "../../src/live/frame-queue.ts";
import { PART_LIMITS } from "../../src/live/state-reader.ts";
import { BODY_TIMEOUT_MS, MAX_REQUEST_BYTES } from "../../src/rpc/request-body.ts";
import { MAX_OPS } from "../../src/core/op-json.ts";
import { MAX_MUTATIONS } from "../../src/service/checks.ts";
import { DEFAULT_QUEUE_LIMITS as DISK_QUEUE } from "../../src/stores/lmdb/commit-queue.ts";
import { readMarkdown, tableAfter } from "./markdown.ts";

const { text } = await readMarkdown("docs/protocol.md");
const rows = new Map(
  tableAfter(text, "Limits").map(([limit = "", value = ""]) => [limit, value] as const),
);

const count = (number: number) => number.toLocaleString("en-US");
const bytes = (number: number) =>
  number >= 1024 * 1024 ? `${number / 1024 / 1024} MiB` : `${number / 1024} KiB`;
const seconds = (ms: number) => (ms >= 3_600_000 ? `${ms / 3_600_000} hour` : `${ms / 1000} s`);

/** Limit -> what the code says. */
const FACTS: Readonly<Record<string, string>> = {
  "length of a name, or of an event's type": `${MAX_NAME_BYTES} bytes`,
  "size of a value": bytes(MAX_VALUE_BYTES),
  "levels of a value": count(MAX_VALUE_DEPTH),
  "size of a request, before and after decompression": bytes(MAX_REQUEST_BYTES),
  "operations in an update": count(MAX_OPS),
  "mutations in a batch": count(MAX_MUTATIONS),
  "one part of a snapshot or replay": `${count(PART_LIMITS.maxCount)} items or ${bytes(PART_LIMITS.maxBytes)}, but at least one item`,
  "history of a group": `${count(DEFAULT_HISTORY.maxChanges)} changes, ${seconds(DEFAULT_HISTORY.maxAgeMs)}, ${bytes(DEFAULT_HISTORY.maxBytes)}`,
  "what a subscription holds": `${bytes(SUBSCRIBER_QUEUE.maxBytes)} or ${count(SUBSCRIBER_QUEUE.maxFrames)} frames`,
  "writes that wait for the disk": `${count(DISK_QUEUE.maxWaiting)}, or ${bytes(DISK_QUEUE.maxWaitingBytes)} of values`,
  "time for the body of a request to arrive": seconds(BODY_TIMEOUT_MS),
};

describe("the limits in docs/protocol.md", () => {
  it.each(Object.entries(FACTS))("%s: %s", (limit, value) => {
    expect(rows.get(limit)).toBe(value);
  });
});
