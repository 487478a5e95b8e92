// A projection: orders of all regions, kept by customer in another stream. Run it: node
// examples/projection.mjs
import { createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore() });

/** Set and delete are idempotent, so at-least-once delivery is harmless. */
await service.registerFunction("orders::by-customer", async ({ groupId, id, event }) => {
  if (event.type === "event") return;
  const target = {
    streamName: "orders-by-customer",
    groupId: event.data.customer,
    itemId: `${groupId}/${id}`,
  };
  if (event.type === "delete") await service.delete(target);
  else await service.set({ ...target, data: { cents: event.data.cents } });
});
await service.registerTrigger({
  type: "stream",
  function_id: "orders::by-customer",
  config: { stream_name: "orders", retry: { max_attempts: 10, initial_backoff_ms: 50 } },
});

const eu = { streamName: "orders", groupId: "eu" };
const us = { streamName: "orders", groupId: "us" };
await service.set({ ...eu, itemId: "o-1", data: { customer: "ann", cents: 250 } });
await service.set({ ...us, itemId: "o-2", data: { customer: "bob", cents: 100 } });
await service.set({ ...us, itemId: "o-3", data: { customer: "ann", cents: 300 } });
await service.delete({ ...eu, itemId: "o-1" });

// The orders of ann in all regions, until only the last one is left.
const orders = new Map();
const ann = { streamName: "orders-by-customer", groupId: "ann" };
for await (const frame of await service.subscribe(ann)) {
  if (frame.kind === "sync") for (const item of frame.items) orders.set(item.itemId, item.data);
  else if (frame.kind !== "change") continue;
  else if (frame.type === "delete") orders.delete(frame.itemId);
  else orders.set(frame.itemId, frame.data);
  console.log(`after change ${frame.position.revision}:`, Object.fromEntries(orders));
  if (frame.position.revision === 3) break;
}
await service.close();
