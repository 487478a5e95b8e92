// A custom stream: values that live in your own database. Run it: node examples/custom-stream.mjs
import { createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore() });

/** Stands for a table of your database. */
const table = new Map([["tea", { id: "tea", stock: 4 }]]);

await service.createStream("stock", {
  get: ({ item_id }) => table.get(item_id),
  set({ item_id, data }) {
    table.set(item_id, data);
  },
  delete({ item_id }) {
    table.delete(item_id);
  },
  list: () => [...table.values()],
  listGroups: () => ["shop"],
});

const shop = { streamName: "stock", groupId: "shop" };
const frames = await service.subscribe(shop);
await service.update({
  ...shop,
  itemId: "tea",
  ops: [{ type: "decrement", path: "stock", by: 1 }],
});
for await (const frame of frames) {
  if (frame.kind === "sync")
    console.log(
      "has",
      frame.items.map(({ data }) => data),
    );
  if (frame.kind === "change") {
    console.log("now", frame.data, "and in the table", table.get("tea"));
    break;
  }
}
await service.close();
