/* A real client, which looks whether answers are answers. */
import { fromJson, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { StreamService } from "../../dist/src/v1.js";
import { STREAM, smallValue } from "./requests.mjs";

/**
 * A client.
 *
 * @param {string} url
 * @param {keyof typeof import("./lanes.mjs").PROTOCOLS} [protocol]
 */
export function clientOf(url, protocol = "grpc") {
  const transport =
    protocol === "grpc"
      ? createGrpcTransport({ baseUrl: url })
      : createConnectTransport({
          baseUrl: url,
          httpVersion: protocol === "connect" ? "2" : "1.1",
          useBinaryFormat: true,
        });
  return createClient(StreamService, transport);
}

/**
 * Sets, reads and updates an item. Rejects unless every response is the expected one.
 *
 * @param {{ url: string, protocol: keyof typeof import("./lanes.mjs").PROTOCOLS }} server
 */
export async function check({ url, protocol }) {
  const client = clientOf(url, protocol);
  const item = { streamName: STREAM, groupId: "check", itemId: "check" };
  const before = smallValue(1);
  const after = { ...before, likes: before.likes + 2 };
  /** @param {import("@bufbuild/protobuf/wkt").Value | undefined} given @param {object} wanted */
  const same = (given, wanted) => {
    const text = given === undefined ? "nothing" : JSON.stringify(toJson(ValueSchema, given));
    const right = JSON.stringify(wanted);
    if (text !== right) throw new Error(`${text} instead of ${right}`);
  };
  same((await client.set({ ...item, data: fromJson(ValueSchema, before) })).newValue, before);
  same((await client.get(item)).item?.data, before);
  const by = { path: "likes", by: 2n };
  const updated = await client.update({
    ...item,
    ops: [{ op: { case: "increment", value: by } }],
  });
  same(updated.oldValue, before);
  same(updated.newValue, after);
  same((await client.get(item)).item?.data, after);
}
