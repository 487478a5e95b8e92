import { randomUUID } from "node:crypto";
import { connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import { SubscribeRequestSchema } from "millrace/v1";
import { expect, it, onTestFinished } from "vitest";

const MIB = 1024 * 1024;
const STALLED = 24;

/** A Subscribe over a connection of its own that is not read, from an address behind a proxy. */
function subscribe(url: string, address: string, type: string, groupId: string) {
  const session = connect(url);
  onTestFinished(() => session.destroy());
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": "/millrace.v1.StreamService/Subscribe",
    "content-type": type,
    te: "trailers",
    "x-forwarded-for": address,
  });
  stream.on("error", () => {});
  const message = toBinary(
    SubscribeRequestSchema,
    create(SubscribeRequestSchema, { streamName: "rooms", groupId }),
  );
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.byteLength, 1);
  stream.end(Buffer.concat([prefix, message]));
  return stream;
}

it.each(["application/grpc+proto", "application/connect+proto"])(
  "subscriptions over %s that read nothing do not keep other addresses from their snapshots",
  async (type) => {
    const server = await createServer({
      port: 0,
      store: memoryStore(),
      maxSnapshotBytes: 20 * MIB,
    });
    onTestFinished(() => server.close());
    // Groups of their own: subscribers of one group share its snapshot.
    const groups = Array.from({ length: STALLED }, (_, i) => `stalled-${i}`);
    for (const groupId of [...groups, ...Array<string>(8).fill("read")])
      await server.service.set({
        streamName: "rooms",
        groupId,
        itemId: randomUUID(),
        data: { text: "x".repeat(MIB - 100) },
      });
    const stalled = groups.map((groupId) => subscribe(server.url, "198.51.100.1", type, groupId));
    await Promise.all(
      stalled.map((stream) => new Promise((resolve) => stream.once("response", resolve))),
    );
    const reading = subscribe(server.url, "198.51.100.2", type, "read");
    let bytes = 0;
    await new Promise<void>((resolve, reject) => {
      reading.on("data", (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes > 8 * MIB - 10_000) resolve();
      });
      reading.on("end", () => reject(new Error(`the stream ended after ${bytes} bytes`)));
    });
    expect(bytes).toBeGreaterThan(8 * MIB - 10_000);
  },
);
