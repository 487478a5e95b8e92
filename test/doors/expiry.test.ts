import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { signDevelopmentToken } from "../../src/rights/jwt/development-token.ts";
import { h2Stub } from "../support/doors/connect-doors.ts";
import { DOORS } from "../support/doors/doors.ts";
import { rpcClient } from "../support/doors/rpc-client.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";

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
        await service.registerFunction("auth", () => ({ user: "ann", expires_at: expiresAtMs }));
      },
    });
  });
  afterAll(async () => server?.close());

  it.each(["while changes are made", "in a silent group"])(
    "ends with AUTH_EXPIRED when its caller expires, and delivers no later change: %s",
    async (what) => {
      const client = door.client(server);
      const group = { streamName: "s", groupId: uniqueName("g") };
      expiresAtMs = Date.now() + 700;
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
    let sent = 0;
    let isOver = false;
    const sending = (async () => {
      for (; !isOver; sent++) {
        const requestId = String(sent + 1);
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
    expect(acknowledged.length).toBeLessThan(sent);
    await client.close();
  });

  it("ends with AUTH_EXPIRED when its caller expires, while nothing is sent", async () => {
    const client = await open();
    await expect(client.write().next()).rejects.toMatchObject(EXPIRED);
    await client.close();
  });
});
