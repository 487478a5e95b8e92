import { once } from "node:events";
import { Code, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { signDevelopmentToken } from "../../src/rights/jwt/development-token.ts";
import { h2Stub } from "../support/doors/connect-doors.ts";
import type { Door } from "../support/doors/door.ts";
import { DOORS } from "../support/doors/doors.ts";
import { rpcClient } from "../support/doors/rpc-client.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { hmacToken } from "../support/rights/issuer.ts";
import { openRawWorker } from "../support/workers/raw-worker.ts";

const EXPIRED = { code: "unauthenticated", reason: "AUTH_EXPIRED" };

/** Writes until it is stopped, every few milliseconds. */
function writeOn(server: TestServer, streamName: string, groupId: string) {
  let isOver = false;
  const done = (async () => {
    for (let data = 0; !isOver; data++) {
      await server.service.set({ streamName, groupId, itemId: "i", data });
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  return async () => {
    isOver = true;
    await done;
  };
}

describe.each(DOORS)("a subscription over $name", (door) => {
  let server: TestServer;
  let expiresAtMs = 0;
  beforeAll(async () => {
    server = await startServer("memory", {
      authFunction: "auth",
      setup: async (service) => {
        await service.registerFunction("auth", () => {
          expiresAtMs = Date.now() + 300;
          return { user: "ann", expires_at: expiresAtMs };
        });
      },
    });
  });
  afterAll(async () => server?.close());

  it.each(["while changes are made", "in a silent group"])(
    "ends with AUTH_EXPIRED when its caller expires, and delivers no later change: %s",
    async (what) => {
      const client = door.client(server);
      const group = { streamName: "s", groupId: uniqueName("g") };
      const stop =
        what === "in a silent group"
          ? async () => {}
          : writeOn(server, group.streamName, group.groupId);
      const frames = await client.subscribe(group);
      const timestamps: number[] = [];
      const following = (async () => {
        for (;;) {
          const { value } = await frames.next();
          if (value?.kind === "change") timestamps.push(value.timestamp);
        }
      })();
      await expect(following).rejects.toMatchObject(EXPIRED);
      expect(Date.now()).toBeGreaterThanOrEqual(expiresAtMs);
      await stop();
      if (what !== "in a silent group") {
        expect(timestamps).not.toEqual([]);
        expect(timestamps.at(-1)).toBeLessThanOrEqual(expiresAtMs);
      }
      await client.close();
    },
  );
});

describe.each([
  ["grpc", createGrpcTransport],
  ["connect", createConnectTransport],
] as const)("a write stream over %s", (_name, createTransport) => {
  const issuer = { algorithms: ["HS256"], secret: "s".repeat(32) } as const;
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer("memory", {
      auth: { jwt: [issuer], rules: [{ actions: ["write"] }] },
    });
  });
  afterAll(async () => server?.close());

  /** A client whose token is valid for a moment: the time of its end is a whole second. */
  const open = async () => {
    const token = await signDevelopmentToken(issuer, { user: "ann", ttlMs: 500 }, Date.now());
    const interceptors: Interceptor[] = [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ];
    return rpcClient(
      h2Stub(server.url, (options) => createTransport({ ...options, interceptors })),
    );
  };

  it("ends with AUTH_EXPIRED when its caller expires, after the responses to all that it read", async () => {
    const client = await open();
    const stream = client.write();
    const key = { streamName: "s", groupId: uniqueName("g") };
    const acknowledged: string[] = [];
    let isOver = false;
    const sending = (async () => {
      for (let sent = 1; !isOver; sent++) {
        const requestId = String(sent);
        stream.send({ requestId, set: { ...key, itemId: requestId, data: 1 } });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    const receiving = (async () => {
      for (;;) {
        const response = await stream.next();
        if (response?.["set"] !== undefined) acknowledged.push(response["requestId"] as string);
        else expect(response).toMatchObject({ error: { reason: "AUTH_EXPIRED" } });
      }
    })();
    await expect(receiving).rejects.toMatchObject(EXPIRED);
    isOver = true;
    await sending;
    const { items } = await server.service.list({ ...key, pageSize: 1000 });
    expect(items.map(({ itemId }) => itemId)).toEqual(acknowledged);
    expect(acknowledged).not.toEqual([]);
    await client.close();
  });

  it("ends with AUTH_EXPIRED when its caller expires, while nothing is sent", async () => {
    const client = await open();
    await expect(client.write().next()).rejects.toMatchObject(EXPIRED);
    await client.close();
  });
});

describe("a token that has expired, within the leeway", () => {
  const issuer = { algorithms: ["HS256"], secret: "s".repeat(32), leewayMs: 60_000 } as const;
  const key = { streamName: "s", groupId: "g", itemId: "i" };
  let server: TestServer;
  let authorization = "";
  beforeAll(async () => {
    server = await startServer("memory", {
      auth: { jwt: [issuer], rules: [{ actions: ["*"] }] },
      setup: async (service) => {
        // Takes part in every write of a user.
        await service.registerFunction("allow", () => undefined);
        const config = { stream_name: "s" };
        await service.registerTrigger({ type: "stream:write", function_id: "allow", config });
      },
    });
    const claims = JSON.stringify({ sub: "ann", exp: Math.floor(Date.now() / 1000) - 5 });
    authorization = `Bearer ${hmacToken('{"alg":"HS256"}', claims, issuer.secret)}`;
  });
  afterAll(async () => server?.close());
  const clientOf = (door: Door) => door.client({ ...server, authorization });
  const networkDoors = DOORS.filter(({ name }) => name !== "library");

  it.each(networkDoors)("is accepted for single calls over $name", async (door) => {
    const client = clientOf(door);
    await client.set({ ...key, data: door.name });
    expect(await client.get(key)).toMatchObject({ data: door.name });
    await client.update({ ...key, ops: [{ type: "set", path: "a", value: 1 }] });
    await client.batch({ ...key, mutations: [{ delete: { itemId: key.itemId } }] });
    await client.delete(key);
    await client.send({ ...key, data: 1 });
    expect(await client.list(key)).toMatchObject({ items: [] });
    await client.close();
  });

  it.each(networkDoors)("opens no subscription and no write stream over $name", async (door) => {
    const client = clientOf(door);
    // The second time, the connection knows the token.
    for (let i = 0; i < 2; i++) {
      const following = async () => (await client.subscribe(key)).next();
      await expect(following()).rejects.toMatchObject(EXPIRED);
    }
    const stream = client.write();
    stream.send({ requestId: "1", set: { ...key, data: 1 } });
    await expect(stream.next()).rejects.toMatchObject(EXPIRED);
    await client.close();
    expect(await server.service.get(key)).toBeUndefined();
  });

  it("opens no socket, neither in a header nor as a sub-protocol", async () => {
    const url = server.url.replace("http", "ws");
    const token = authorization.slice("Bearer ".length);
    const sockets = [
      new WebSocket(`${url}/stream/s/g`, { headers: { authorization } }),
      new WebSocket(`${url}/stream/s/g`, ["Authorization", token]),
      new WebSocket(`${url}/worker`, { headers: { authorization } }),
    ];
    for (const [error] of await Promise.all(sockets.map((socket) => once(socket, "error"))))
      expect(String(error)).toContain("Unexpected server response: 401");
  });

  it("makes no worker over gRPC", async () => {
    const worker = openRawWorker(server.url, { authorization });
    worker.send({ case: "hello", value: {} });
    const failure = await worker.ended;
    expect(failure?.code).toBe(Code.Unauthenticated);
    expect(failure?.rawMessage).toMatch(/expired/);
  });

  it("is accepted for calls of the AdminService", async () => {
    const response = await fetch(`${server.url}/millrace.v1.AdminService/ListConnections`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: "{}",
    });
    expect(response.status).toBe(200);
  });
});
