import { getEventListeners } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";

const GROUP = { streamName: "s", groupId: "g" };
const ROUNDS = 40;
/** Most listeners that a signal may have for open calls and subscriptions. */
const FEW = 15;

/** Every signal that had a listener. */
const signals = new Set<AbortSignal>();
const { addEventListener } = AbortSignal.prototype;
let server: TestServer;

beforeAll(async () => {
  AbortSignal.prototype.addEventListener = function (
    this: AbortSignal,
    ...args: Parameters<typeof addEventListener>
  ) {
    signals.add(this);
    addEventListener.apply(this, args);
  };
  server = await startServer();
});
afterAll(async () => {
  AbortSignal.prototype.addEventListener = addEventListener;
  await server.close();
});

describe.each(SUBSCRIPTION_DOORS)("the protocol $name", (door) => {
  it("leaves no listeners on signals that outlive its calls and subscriptions", async () => {
    signals.clear();
    const client = door.client(server);
    for (let round = 0; round < ROUNDS; round++) {
      await client.set({ ...GROUP, itemId: "i", data: round });
      const frames = await client.subscribe(GROUP);
      await frames.next();
      await frames.return();
      if (door.can.write === "yes") {
        const writes = client.write();
        writes.send({ requestId: "1", send: { ...GROUP, data: 1 } });
        await writes.next();
        writes.end();
        await writes.next();
      }
    }
    const counts = Array.from(signals, (signal) => getEventListeners(signal, "abort").length);
    expect(Math.max(0, ...counts)).toBeLessThan(FEW);
    await client.close();
  }, 30_000);
});
