// Sets an item and watches its group, over gRPC. Run it beside `npm start`:
//
//   node examples/watch.mjs
import { fromJson, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { StreamService } from "millrace/v1";

const transport = createGrpcTransport({ baseUrl: "http://127.0.0.1:3112" });
const client = createClient(StreamService, transport);
const group = { streamName: "chat", groupId: "lobby" };

// A value is a google.protobuf.Value: any JSON.
const hello = fromJson(ValueSchema, { text: "hello from TypeScript" });
const { position } = await client.set({ ...group, itemId: "m2", data: hello });
console.log(`written as revision ${position?.revision}`);

// First the state, in one or more parts, then every change.
for await (const { frame } of client.subscribe(group)) {
  if (frame.case === "sync") {
    for (const item of frame.value.items) {
      console.log("has", item.itemId, item.data && toJson(ValueSchema, item.data));
    }
  } else if (frame.case === "change") {
    const change = frame.value;
    console.log("change", change.itemId, change.data && toJson(ValueSchema, change.data));
  }
}
