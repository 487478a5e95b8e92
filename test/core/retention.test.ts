import { describe, expect, it } from "vitest";
import {
  historyOf,
  isExpired,
  mayForget,
  mustTrim,
  nextSweepMs,
} from "../../src/core/retention.ts";
import { DEFAULT_HISTORY } from "../../src/core/store.ts";

const history = { maxChanges: 3, maxAgeMs: 1000, maxBytes: 100 };
const log = { count: 3, bytes: 100, oldestTimeMs: 5000 };
const none = { count: 0, bytes: 0, oldestTimeMs: 0 };

describe("retention", () => {
  it("fills in the defaults of absent limits", () => {
    expect(historyOf(undefined)).toEqual(DEFAULT_HISTORY);
    expect(historyOf({ maxChanges: 7 })).toEqual({ ...DEFAULT_HISTORY, maxChanges: 7 });
    expect(historyOf({ maxChanges: undefined })).toEqual(DEFAULT_HISTORY);
  });

  it("trims a log that is one change, one byte or one millisecond over its limits", () => {
    expect(mustTrim(log, 6000, history)).toBe(false);
    expect(mustTrim({ ...log, count: 4 }, 6000, history)).toBe(true);
    expect(mustTrim({ ...log, bytes: 101 }, 6000, history)).toBe(true);
    expect(mustTrim(log, 6001, history)).toBe(true);
    expect(mustTrim(none, 1e9, { ...history, maxChanges: 0 })).toBe(false);
  });

  it("expires nothing while the clock is behind", () => {
    expect(isExpired(5000, 1, history)).toBe(false);
  });

  it("sweeps a group when its oldest change expires, and an empty one when it may be forgotten", () => {
    const group = { log, itemCount: 0, lastChangeMs: 5500, timestamp: 5700 };
    expect(nextSweepMs(group, history)).toBe(6001);
    expect(nextSweepMs({ ...group, log: none, itemCount: 1 }, history)).toBeUndefined();
    const empty = { ...group, log: none };
    expect(nextSweepMs(empty, history)).toBe(6701);
    expect(mayForget(empty, 6700, history)).toBe(false);
    expect(mayForget(empty, 6701, history)).toBe(true);
    expect(mayForget({ ...empty, itemCount: 1 }, 6701, history)).toBe(false);
    expect(mayForget({ ...empty, log }, 6701, history)).toBe(false);
  });
});
