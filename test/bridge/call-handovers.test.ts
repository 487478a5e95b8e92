import { describe, expect, it, onTestFinished } from "vitest";
import { type ServerOptions, createServer } from "millrace/server";
import { uniqueName } from "../support/doors/unique.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { type Line, connect } from "./line.ts";
import { first, send } from "./notices.ts";

/** A gate that a test opens. */
interface Gate {
  /** Resolves when it is asked. */
  readonly asked: Promise<void>;
  readonly opened: Promise<void>;
  ask(): void;
  open(): void;
}

function newGate(): Gate {
  let ask = () => {};
  let open = () => {};
  const asked = new Promise<void>((resolve) => (ask = resolve));
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { asked, opened, ask, open };
}

interface Write {
  readonly action: string;
  readonly data?: unknown;
}

/** A server whose users read and write, and whose gates keep a read, and the write of "held", waiting. */
async function openServer(options: ServerOptions = {}) {
  const [reads, writes] = [newGate(), newGate()];
  const server = await createServer({
    port: 0,
    store: { kind: "in_memory" },
    authFunction: "auth",
    ...options,
    async setup(service) {
      await service.registerFunction("auth", () => ({
        user: "ann",
        allow: [{ actions: ["read", "write"], stream: "rooms" }],
      }));
      await service.registerFunction("reads", async ({ action }: Write) => {
        if (action !== "read") return;
        reads.ask();
        await reads.opened;
      });
      await service.registerFunction("writes", async ({ data }: Write) => {
        if (data !== "held") return;
        writes.ask();
        await writes.opened;
      });
      await service.registerTrigger({ type: "stream:join", function_id: "reads" });
      const config = { stream_name: "rooms" };
      await service.registerTrigger({ type: "stream:write", function_id: "writes", config });
    },
  });
  onTestFinished(() => server.close());
  return { server, reads, writes };
}

type Opened = Awaited<ReturnType<typeof openServer>>;

async function greet({ server: { url } }: Opened, session?: string) {
  // Behind a proxy nobody is local.
  const headers = { "x-forwarded-for": "192.0.2.1" };
  const line = await connect(url, "/", { headers });
  send(line, "hello", { version: 2, session });
  const { data } = await first(line, "welcome");
  return { line, session: data["session"] as string };
}

function newItem() {
  const item = { streamName: "rooms", groupId: uniqueName("g"), itemId: "i" };
  const call = ({ line }: { readonly line: Line }, id: number, method: string, rest: object = {}) =>
    send(line, "call", { id, method, params: { ...item, ...rest } });
  const valueAt = async ({ server }: Opened) => (await server.service.get(item))?.data;
  return { call, valueAt };
}

/** Resolves when what had to happen has: later calls of the same kind, through gates, are over. */
async function settle(...all: readonly Opened[]) {
  for (const at of all) {
    const other = await greet(at);
    const { call } = newItem();
    for (const method of ["Get", "Set", "Get", "Set"]) {
      const id = other.line.frames.length;
      call(other, id, method, method === "Set" ? { data: id } : {});
      await other.line.count(id + 1);
    }
  }
}

describe("calls that wait for a read when their socket is gone", () => {
  it("never start when the session is taken up, so that they do not undo later ones", async () => {
    const at = await openServer();
    const { call, valueAt } = newItem();
    const before = await greet(at);
    call(before, 1, "Get");
    await at.reads.asked;
    call(before, 2, "Set", { data: "old" });
    before.line.socket.terminate();
    const after = await greet(at, before.session);
    call(after, 1, "Set", { data: "new" });
    await first(after.line, "result");
    at.reads.open();
    await settle(at);
    expect(await valueAt(at)).toBe("new");
  });

  it("never start when the session is taken up while its socket seems alive", async () => {
    const at = await openServer();
    const { call, valueAt } = newItem();
    const before = await greet(at);
    call(before, 1, "Get");
    call(before, 2, "Set", { data: "old" });
    await at.reads.asked;
    const after = await greet(at, before.session);
    expect(await before.line.closed).toBe(4409);
    call(after, 1, "Set", { data: "new" });
    await first(after.line, "result");
    at.reads.open();
    await settle(at);
    expect(await valueAt(at)).toBe("new");
  });

  it("take effect when their client has closed the socket, and with it the session", async () => {
    const at = await openServer();
    const { call, valueAt } = newItem();
    const before = await greet(at);
    call(before, 1, "Get");
    call(before, 2, "Set", { data: "last" });
    await at.reads.asked;
    before.line.socket.close(1000);
    await before.line.closed;
    at.reads.open();
    await expect.poll(async () => valueAt(at)).toBe("last");
  });
});

it("writes of a session at a write gate take effect before those of its next socket", async () => {
  const at = await openServer();
  const { call, valueAt } = newItem();
  const before = await greet(at);
  call(before, 1, "Set", { data: "held" });
  await at.writes.asked;
  before.line.socket.terminate();
  const after = await greet(at, before.session);
  call(after, 1, "Set", { data: "new" });
  call(after, 2, "Get");
  at.writes.open();
  at.reads.open();
  await after.line.until(
    "both results",
    (all) => all.filter((each) => (each.type as string) === "result").length === 2,
  );
  expect(await valueAt(at)).toBe("new");
});

describeWithRedis("calls of a session that is taken up at another process", () => {
  const openTwo = async () => {
    const { url } = await sharedRedis();
    const store = { kind: "redis", url, keyPrefix: randomPrefix() } as const;
    const a = await openServer({ store });
    return [a, await openServer({ store })] as const;
  };

  it("never take effect after those that are made there, when they waited for a gate", async () => {
    const [a, b] = await openTwo();
    const { call, valueAt } = newItem();
    const before = await greet(a);
    call(before, 1, "Set", { data: "held" });
    await Promise.race([a.writes.asked, b.writes.asked]);
    before.line.socket.terminate();
    const after = await greet(b, before.session);
    call(after, 1, "Set", { data: "new" });
    await first(after.line, "result");
    for (const each of [a, b]) each.writes.open();
    for (const each of [a, b]) each.reads.open();
    await settle(a, b);
    expect(await valueAt(a)).toBe("new");
  });

  it("never take effect after those that are made there, when they waited for a read", async () => {
    const [a, b] = await openTwo();
    const { call, valueAt } = newItem();
    const before = await greet(a);
    call(before, 1, "Get");
    call(before, 2, "Set", { data: "old" });
    await Promise.race([a.reads.asked, b.reads.asked]);
    const after = await greet(b, before.session);
    call(after, 1, "Set", { data: "new" });
    await first(after.line, "result");
    for (const each of [a, b]) each.reads.open();
    await settle(a, b);
    expect(await valueAt(a)).toBe("new");
  });
});
