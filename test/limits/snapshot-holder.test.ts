import { describe, expect, it, vi } from "vitest";
import { SnapshotHolder, largestHolder } from "../../src/limits/snapshot-holder.ts";

const BOOK = { hold() {}, release() {}, check() {}, enter() {}, leave() {} };

/** A holder that began to hold its bytes some time ago. */
function holderOf(address: string, bytes: number, agoMs: number): SnapshotHolder {
  const holder = new SnapshotHolder(BOOK, address, () => {});
  const now = vi.spyOn(performance, "now").mockReturnValue(10_000 - agoMs);
  holder.hold({}, () => bytes);
  now.mockRestore();
  return holder;
}

/** The largest holder, at a time of 10,000 ms, of a memory of 1,000 bytes. */
function largestOf(...holders: readonly SnapshotHolder[]): SnapshotHolder | undefined {
  const now = vi.spyOn(performance, "now").mockReturnValue(10_000);
  try {
    return largestHolder(holders, 1000);
  } finally {
    now.mockRestore();
  }
}

describe("the holder that makes room", () => {
  it("is the largest of the address that holds the most, not the largest of all", () => {
    const lone = holderOf("a", 300, 5000);
    const [small, large] = [holderOf("b", 150, 5000), holderOf("b", 200, 5000)];
    expect(largestOf(lone, small, large)).toBe(large);
  });

  it("has had a second to read", () => {
    const [young, old] = [holderOf("a", 300, 500), holderOf("a", 100, 2000)];
    expect(largestOf(young, old)).toBe(old);
    expect(largestOf(young)).toBeUndefined();
  });

  it("has no such time when its address holds more than half of the memory", () => {
    const young = [holderOf("a", 300, 0), holderOf("a", 301, 0)];
    expect(largestOf(...young)).toBe(young[1]);
  });

  it("does not exist when nothing is held", () => {
    expect(largestOf()).toBeUndefined();
  });
});
