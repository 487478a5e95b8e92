import { expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { signDevelopmentToken } from "../../src/rights/jwt/development-token.ts";
import { newCalls } from "../support/gates/calls.ts";
import { openClient, watchGroup } from "../support/lifetimes/socket-client.ts";

const group = { streamName: "cursors", groupId: "g" };
const ISSUER = { algorithms: ["HS256"], secret: "s".repeat(32), allowClaim: "allow" } as const;

interface Change {
  readonly id: string;
  readonly event: { readonly type: string };
}

async function start() {
  const changes = newCalls<Change>();
  const asked = newCalls<{ readonly id: string; readonly connection_id: string }>();
  const server = await createServer({
    port: 0,
    store: { kind: "in_memory" },
    auth: { local: true, jwt: [ISSUER] },
    bridge: { renewalGraceMs: 200 },
    async setup(service) {
      await service.registerFunction("changes", (change: Change) => changes.record(change));
      const config = { stream_name: group.streamName };
      await service.registerTrigger({ type: "stream", function_id: "changes", config });
      await service.registerFunction("gate", (write: { id: string; connection_id: string }) => {
        asked.record(write);
        return { unauthorized: write.id === "refused" };
      });
      await service.registerTrigger({ type: "stream:write", function_id: "gate", config });
    },
  });
  onTestFinished(() => server.close());
  const userFor = async (ttlMs: number, ...actions: ("write" | "subscribe" | "read")[]) => {
    const allow = [{ actions, stream: group.streamName }];
    const token = await signDevelopmentToken(ISSUER, { user: "ann", ttlMs, allow }, Date.now());
    return openClient(server.url, { headers: { authorization: `Bearer ${token}` } });
  };
  return { server, changes, asked, userFor };
}

it("a user binds items where its rights and the write gate allow it; their ends fire triggers", async () => {
  const { server, changes, asked, userFor } = await start();
  const watch = await watchGroup(server.url, group);
  const ann = await userFor(60_000, "write");
  const bind = async (itemId: string) =>
    ann.call("Set", { ...group, itemId, data: 1, whileConnected: true });
  expect(await bind("a")).toMatchObject({ result: { created: true } });
  expect(await bind("refused")).toMatchObject({ error: { reason: "WRITE_REFUSED" } });
  const reader = await userFor(60_000, "read");
  expect(
    await reader.call("Set", { ...group, itemId: "b", data: 1, whileConnected: true }),
  ).toMatchObject({ error: { reason: "ACTION_DENIED" } });
  await watch.until("a");
  expect(asked.all.map(({ connection_id: id }) => id)).toEqual([
    ...[ann.connectionId, ann.connectionId],
  ]);
  ann.line.socket.close();
  await watch.until();
  const fired = await changes.count(2);
  expect(fired.map(({ id, event }) => [id, event.type])).toEqual([
    ["a", "create"],
    ["a", "delete"],
  ]);
  // The service deletes it, which no gate decides about.
  expect(asked.all).toHaveLength(2);
});

it("the items of a user are deleted at once when its credentials expire without renewal", async () => {
  const { server, userFor } = await start();
  const watch = await watchGroup(server.url, group);
  const ann = await userFor(1500, "write");
  await ann.call("Set", { ...group, itemId: "a", data: 1, whileConnected: true });
  await watch.until("a");
  expect(await ann.line.closed).toBe(4401);
  const closedMs = performance.now();
  // Its session has ended with it: nobody waits for the client.
  expect((await watch.until()) - closedMs).toBeLessThan(2000);
});
