import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Transport, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { type Item, pipeText } from "millrace";
import { StreamService } from "millrace/v1";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { startServer } from "../support/doors/test-server.ts";
import { freePort, startChild } from "../support/long/child-server.ts";
import { random } from "../support/random.ts";
import { randomChunks, randomText } from "./failing-target.ts";
import { PLACE, model } from "./texts.ts";

const TRANSPORTS: readonly [string, (baseUrl: string) => Transport][] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "Connect with JSON",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  ],
];

beforeAll(() => ensureBuilt(PROJECT), 120_000);

/** A proxy that loses responses: it cuts a connection instead of passing them on. */
async function losingProxy(url: string, isLost: () => boolean) {
  const sockets = new Set<Socket>();
  let cuts = 0;
  const proxy = createServer((client) => {
    const service = connect(Number(new URL(url).port), "127.0.0.1");
    for (const socket of [client, service]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        service.destroy();
      });
    }
    client.pipe(service);
    service.on("data", (data) => {
      if (!isLost()) return void client.write(data);
      cuts++;
      client.destroy();
    });
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    get cuts() {
      return cuts;
    },
  };
}

/** Whether an item has a text. The first half of a surrogate pair waits for the second. */
function isWritten(item: Item | undefined, text: string): boolean {
  const written = (item?.data as { text: string } | undefined)?.text;
  return written === text.replace(/[\ud800-\udbff]$/, "");
}

describe.each(TRANSPORTS)("a text that is piped by a client over %s", (_, transportTo) => {
  it("is complete when responses are lost, with nothing doubled", async () => {
    const server = await startServer("memory");
    onTestFinished(() => server.close());
    const dice = random(5);
    const proxy = await losingProxy(server.url, () => dice.chance(0.15));
    const client = createClient(StreamService, transportTo(proxy.url));
    const text = randomText(dice, 300);
    /** Each part is written by itself. */
    async function* source() {
      let said = "";
      for (const chunk of randomChunks(dice, text, 20)) {
        yield chunk;
        said += chunk;
        while (!isWritten(await server.service.get(PLACE), said)) await delay(1);
      }
    }
    const done = await pipeText(client, PLACE, source(), { everyMs: 0 });
    const item = await server.service.get(PLACE);
    expect(item).toMatchObject({ data: { text, done: true }, revision: done.position.revision });
    expect(proxy.cuts).toBeGreaterThan(2);
    const { changes } = await server.service.history({ ...PLACE, pageSize: 1000 });
    for (const { data } of changes)
      expect(text.startsWith((data as { text: string }).text)).toBe(true);
  });

  it("is refused where the service refuses it, with its reason", async () => {
    const server = await startServer("memory");
    onTestFinished(() => server.close());
    const client = createClient(StreamService, transportTo(server.url));
    await expect(pipeText(client, { ...PLACE, itemId: "" }, ["x"])).rejects.toMatchObject({
      message: expect.stringContaining("item_id") as string,
    });
    await server.service.set({ ...PLACE, data: "no object" });
    await expect(pipeText(client, PLACE, ["x"])).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "path", code: "merge.target_not_object" },
    });
  });

  it("stops when the item is deleted, and goes on while others write beside it", async () => {
    const server = await startServer("memory");
    onTestFinished(() => server.close());
    const client = createClient(StreamService, transportTo(server.url));
    async function* source() {
      yield "It was ";
      await expect
        .poll(async () => (await server.service.get(PLACE))?.data)
        .toMatchObject({ text: "It was " });
      await server.service.update({ ...PLACE, ops: [{ type: "set", path: "likes", value: 1 }] });
      yield "a dark ";
      await expect
        .poll(async () => (await server.service.get(PLACE))?.data)
        .toEqual({ text: "It was a dark ", done: false, likes: 1 });
      await server.service.delete(PLACE);
      yield "night.";
    }
    await expect(pipeText(client, PLACE, source(), { everyMs: 0 })).rejects.toMatchObject({
      reason: "REVISION_MISMATCH",
    });
    expect(await server.service.get(PLACE)).toBeUndefined();
  });
});

describe("a text that is piped by a client", () => {
  it(
    "goes on each time that the service is killed and started again (G6)",
    { timeout: 60_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "millrace-pipe-text-"));
      const options = { port: await freePort(), store: { kind: "file_based", folder } } as const;
      let child = await startChild(options);
      onTestFinished(async () => {
        await child.kill();
        await rm(folder, { recursive: true, force: true });
      });
      const client = createClient(StreamService, createGrpcTransport({ baseUrl: child.url }));
      let text = "";
      async function* source() {
        for (let kills = 0; kills < 2; kills++) {
          for (let words = 0; words < 100; words++) {
            const word = `${kills}-${words} `;
            text += word;
            yield word;
            await delay(1);
          }
          // In the middle of its writes.
          await child.kill();
          yield "killed ";
          text += "killed ";
          child = await startChild(options);
        }
      }
      const done = await pipeText(client, PLACE, source(), { everyMs: 0 });
      const { item } = await client.get(PLACE);
      expect(done.chars).toBe(text.length);
      const fields = item?.data?.kind.case === "structValue" ? item.data.kind.value.fields : {};
      expect(fields["text"]?.kind.value).toBe(text);
      expect(fields["done"]?.kind.value).toBe(true);
      expect(item?.revision).toBe(BigInt(done.position.revision));
    },
  );

  it("is stopped by its signal while the service is away", async () => {
    const client = createClient(
      StreamService,
      createGrpcTransport({ baseUrl: `http://127.0.0.1:${await freePort()}` }),
    );
    const signal = AbortSignal.timeout(300);
    await expect(pipeText(client, PLACE, model(["x"]), { signal })).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });

  it("fails with the last error when the service stays away", async () => {
    const client = createClient(
      StreamService,
      createGrpcTransport({ baseUrl: `http://127.0.0.1:${await freePort()}` }),
    );
    await expect(pipeText(client, PLACE, model(["x"]), { retryForMs: 200 })).rejects.toMatchObject({
      name: "ConnectError",
    });
  });
});
