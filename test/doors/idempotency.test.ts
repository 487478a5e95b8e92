import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import { SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { CALL_DOORS } from "../support/doors/doors.ts";
import type { DoorClient } from "../support/doors/door.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";

const SECRET = "a secret of at least thirty-two bytes";
const NETWORK_DOORS = CALL_DOORS.filter(({ name }) => name !== "library");
const DENIED = { code: "permission_denied", reason: "ACTION_DENIED" };

const sign = (claims: Record<string, unknown>) =>
  new SignJWT({ exp: Math.floor(Date.now() / 1000) + 3600, ...claims })
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(SECRET));

let server: TestServer;
/** What the gate was asked, and what it does. */
let asked: unknown[] = [];
let answer: (payload: unknown) => unknown = () => null;
beforeAll(async () => {
  server = await startServer("memory", {
    auth: {
      keys: [
        { name: "backend", key: "backend-key" },
        { name: "worker", key: "worker-key", allow: [{ actions: ["write"] }] },
      ],
      jwt: [{ algorithms: ["HS256"], secret: SECRET }],
      rules: [
        { actions: ["read", "write"], stream: "gated" },
        { actions: ["write"], stream: "open-{claims.room}" },
      ],
      anonymous: [{ actions: ["write"], stream: "open-attic" }],
    },
    async setup(service) {
      await service.registerFunction("gate", (payload) => {
        asked.push(payload);
        return answer(payload);
      });
      await service.registerTrigger({
        type: "stream:write",
        function_id: "gate",
        config: { stream_name: "gated" },
      });
    },
  });
});
afterAll(() => server.close());
beforeEach(() => {
  asked = [];
  answer = () => null;
});

describe.each(NETWORK_DOORS)("idempotency keys over $name", (door) => {
  const as = async <R>(credential: string | undefined, act: (client: DoorClient) => Promise<R>) => {
    const { url, service } = server;
    const authorization = credential === undefined ? undefined : `Bearer ${credential}`;
    const client = door.client({ url, service, authorization });
    try {
      return await act(client);
    } finally {
      await client.close();
    }
  };
  const set = (streamName: string) => ({
    ...{ streamName, groupId: uniqueName("g"), itemId: "a", data: 1 },
    idempotencyKey: "k",
  });

  it("are those of one caller", async () => {
    const request = set("open-attic");
    const callers = [
      "backend-key",
      "worker-key",
      await sign({ sub: "ann", room: "attic" }),
      await sign({ sub: "bob", room: "attic" }),
      undefined,
    ];
    const write = async (credential: string | undefined) =>
      as(credential, (client) => client.set(request));
    for (const credential of callers)
      expect(await write(credential)).not.toHaveProperty("deduplicated");
    for (const credential of callers)
      expect(await write(credential)).toMatchObject({ deduplicated: true });
    // Another connection, and another token of the same user.
    const renewed = await sign({
      sub: "ann",
      room: "attic",
      exp: Math.floor(Date.now() / 1000) + 9,
    });
    expect(await write(renewed)).toMatchObject({ deduplicated: true });
    expect(await server.service.list(request)).toMatchObject({
      position: { revision: callers.length },
    });
  });

  it("do not help a caller who has lost the right", async () => {
    const request = set("open-attic");
    const member = await sign({ sub: "ann", room: "attic" });
    const former = await sign({ sub: "ann", room: "cellar" });
    const { streamName, groupId } = request;
    const mutations = [{ set: { itemId: "b", data: 1 } }];
    const batch = { streamName, groupId, mutations, idempotencyKey: "b" };
    await as(member, async (client) => {
      await client.set(request);
      await client.batch(batch);
    });
    await as(former, async (client) => {
      await expect(client.set(request)).rejects.toMatchObject(DENIED);
      await expect(client.batch(batch)).rejects.toMatchObject(DENIED);
    });
  });

  it("of a write that took effect spare the gates its repetition", async () => {
    const request = set("gated");
    const { streamName, groupId, itemId } = request;
    const ann = await sign({ sub: "ann" });
    const ops = [{ type: "increment" as const, path: "n", by: 1 }];
    answer = () => ({ data: "from the gate" });
    const first = await as(ann, (client) => client.set(request));
    expect(first).toMatchObject({ newValue: "from the gate", created: true });
    expect(asked).toHaveLength(1);
    // By now the gate would refuse it.
    answer = () => ({ unauthorized: true });
    const again = await as(ann, (client) => client.set(request));
    expect(again).toMatchObject({ deduplicated: true, position: first.position, created: true });
    await expect(
      as(ann, (client) => client.set({ ...request, data: "from the gate" })),
    ).rejects.toMatchObject({ reason: "IDEMPOTENCY_MISMATCH" });
    expect(asked).toHaveLength(1);
    const update = { streamName, groupId, itemId: "b", ops, idempotencyKey: "u" };
    const refused = as(ann, (client) => client.update(update));
    await expect(refused).rejects.toMatchObject({ reason: "WRITE_REFUSED" });
    answer = () => null;
    // A refused one is not remembered: the gate is asked again.
    expect(await as(ann, (client) => client.update(update))).toMatchObject({ created: true });
    const remove = { streamName, groupId, itemId, idempotencyKey: "d" };
    await as(ann, (client) => client.delete(remove));
    const batch = { streamName, groupId, mutations: [{ delete: { itemId: "b" } }] };
    await as(ann, (client) => client.batch({ ...batch, idempotencyKey: "e" }));
    expect(asked).toHaveLength(5);
    expect(await as(ann, (client) => client.delete(remove))).toMatchObject({ deduplicated: true });
    expect(
      await as(ann, (client) => client.batch({ ...batch, idempotencyKey: "e" })),
    ).toMatchObject({ deduplicated: true });
    expect(asked).toHaveLength(5);
  });
});

describe("a service", () => {
  const request = { streamName: "s", groupId: "g", itemId: "a", data: 1, idempotencyKey: "k" };

  it("whose store does not remember keys refuses them", async () => {
    const { recall: _, ...store } = memoryStore();
    const small = await createServer({ store, port: 0 });
    onTestFinished(() => small.close());
    const { service } = small;
    const batch = { streamName: "s", groupId: "g", mutations: [{ delete: { itemId: "a" } }] };
    for (const call of [
      () => service.set(request),
      () => service.update({ ...request, ops: [] }),
      () => service.delete(request),
      () => service.batch({ ...request, ...batch }),
    ])
      await expect(call()).rejects.toMatchObject({
        reason: "REQUEST_INVALID",
        metadata: { field: "idempotency_key" },
        message: expect.stringMatching(/store of this service does not remember keys/) as unknown,
      });
    const { idempotencyKey: __, ...plain } = request;
    expect(await service.set(plain)).toMatchObject({ created: true });
  });

  it("remembers keys for the window of its options", async () => {
    const options = { store: { kind: "in_memory" }, idempotencyWindowMs: 40, port: 0 } as const;
    const brief = await createServer(options);
    onTestFinished(() => brief.close());
    await brief.service.set(request);
    await expect
      .poll(async () => (await brief.service.set(request)).position.revision, { interval: 10 })
      .toBe(2);
  });
});
