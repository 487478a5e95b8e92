import { describe, expect, it } from "vitest";
import type { GroupKey } from "../../src/core/names.ts";
import { GroupQueue } from "../../src/streams/group-queue.ts";

const group = (groupId: string): GroupKey => ({ streamName: "s", groupId });

function takeAll(queue: GroupQueue): string[] {
  const taken: string[] = [];
  for (let next = queue.take(); next !== undefined; next = queue.take()) taken.push(next.groupId);
  return taken;
}

describe("a queue of groups", () => {
  it("gives a backlog every fourth turn, each kind in order", () => {
    const queue = new GroupQueue();
    for (const id of ["b1", "b2", "b3"]) queue.addToBacklog(group(id));
    for (const id of ["f1", "f2", "f3", "f4"]) queue.addFresh(group(id));
    expect(takeAll(queue)).toEqual(["f1", "f2", "f3", "b1", "f4", "b2", "b3"]);
  });

  it("has a group once, and sooner once it is written", () => {
    const queue = new GroupQueue();
    for (const id of ["a", "b", "c", "a"]) queue.addToBacklog(group(id));
    queue.addFresh(group("c"));
    queue.addToBacklog(group("c"));
    expect(takeAll(queue)).toEqual(["c", "a", "b"]);
  });

  it("gives a group to one worker at a time, and again if it was written meanwhile", () => {
    const queue = new GroupQueue();
    queue.addFresh(group("a"));
    expect(queue.take()).toEqual(group("a"));
    queue.addFresh(group("a"));
    expect(queue.take()).toBeUndefined();
    queue.finish(group("a"), false);
    expect(queue.take()).toEqual(group("a"));
    queue.finish(group("a"), false);
    expect(queue.take()).toBeUndefined();
  });

  it("puts a group with more to do behind the others of the backlog", () => {
    const queue = new GroupQueue();
    for (const id of ["a", "b"]) queue.addToBacklog(group(id));
    queue.finish(queue.take()!, true);
    expect(takeAll(queue)).toEqual(["b", "a"]);
  });
});
