import { describe, expect, it } from "vitest";
import { GroupClock, nextTimestamp } from "../../src/core/group-clock.ts";

describe("the clock of a group", () => {
  it("gives an event the wall clock, or the next millisecond after the last event and the floor", () => {
    expect(nextTimestamp(0, 50, 0)).toBe(50);
    expect(nextTimestamp(50, 50, 0)).toBe(51);
    expect(nextTimestamp(70, 50, 0)).toBe(71);
    expect(nextTimestamp(70, 50, 80)).toBe(81);
  });

  it("gives a sync the last timestamp, or the beginning of the lineage if that is later", () => {
    const clock = new GroupClock();
    expect(clock.sync(70, 0, () => 100)).toBe(70);
    expect(clock.sync(70, 60, () => 100)).toBe(70);
    expect(clock.sync(70, 90, () => 100)).toBe(90);
    expect(clock.floor(70, 90)).toBe(90);
  });

  it("gives a sync of a group without a record the time, which never goes back", () => {
    const clock = new GroupClock();
    expect(clock.floor(0, 90)).toBe(0);
    expect(clock.sync(0, 90, () => 100)).toBe(99);
    expect(clock.floor(0, 90)).toBe(99);
    expect(clock.sync(0, 90, () => 50)).toBe(99);
    expect(nextTimestamp(0, 50, clock.floor(0, 90))).toBe(100);
    expect(new GroupClock().sync(0, 0, () => 0)).toBe(1);
  });

  it("stands still for such groups while decided commits cannot be read yet", () => {
    const clock = new GroupClock();
    clock.hold(() => 100);
    const decided = nextTimestamp(0, 100, clock.floor(0, 0));
    expect(clock.sync(0, 0, () => 200)).toBeLessThan(decided);
    clock.release();
    expect(clock.sync(0, 0, () => 200)).toBe(199);
  });
});
