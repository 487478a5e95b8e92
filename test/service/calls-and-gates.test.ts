import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Caller, THIS_PROCESS } from "../../src/rights/caller.ts";
import { type Calls, createCalls, createRequire } from "../../src/service/calls.ts";

type Dependencies = Parameters<typeof createCalls>[0];

const ROOM = { streamName: "rooms", groupId: "attic", pageSize: 0, pageToken: "" };
const LAMP = { ...ROOM, itemId: "lamp" };
const EXPIRES_AT_MS = 10_000;
const ANN: Caller = {
  ...THIS_PROCESS,
  ...{ kind: "user", author: "user:ann", user: "ann", expiresAtMs: EXPIRES_AT_MS },
  connection: { connectionId: "c1" },
};

describe("a call that waits for a gate", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: EXPIRES_AT_MS - 1 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const reads: [string, (calls: Calls) => Promise<unknown>][] = [
    ["get", (calls) => calls.get(LAMP, ANN)],
    ["list", (calls) => calls.list(ROOM, ANN)],
    ["history", (calls) => calls.history(ROOM, ANN)],
  ];

  it.each(reads)("%s is not answered when the credentials expire meanwhile", async (name, call) => {
    const read = vi.fn(async () => ({}));
    let admission = Promise.resolve();
    const calls = createCalls({
      require: createRequire(undefined),
      gates: { admitRead: () => admission },
      reads: { [name]: read },
    } as unknown as Dependencies);
    await call(calls);
    expect(read).toHaveBeenCalledTimes(1);
    let admit = () => {};
    admission = new Promise((resolve) => (admit = resolve));
    const late = call(calls);
    vi.setSystemTime(EXPIRES_AT_MS);
    admit();
    await expect(late).rejects.toMatchObject({ reason: "AUTH_EXPIRED" });
    expect(read).toHaveBeenCalledTimes(1);
  });
});
