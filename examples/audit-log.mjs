// An audit log: all changes and their authors, in order. Run it: node examples/audit-log.mjs
import { createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore() });

await service.registerFunction("audit::log", async (change, { metadata }) => {
  // Revisions are unique in a group, so writing the same line again changes nothing.
  await service.set({
    streamName: "audit",
    groupId: change.groupId,
    itemId: `${change.epoch} ${change.revision}`,
    data: { what: change.event.type, item: change.id, to: change.event.data, by: metadata.by },
  });
});
await service.registerTrigger({
  type: "stream",
  function_id: "audit::log",
  config: { stream_name: "accounts", retry: { max_attempts: 5, initial_backoff_ms: 100 } },
  metadata: { by: "audit" },
});

const bank = { streamName: "accounts", groupId: "bank" };
await service.set({ ...bank, itemId: "ann", data: { cents: 500 } });
await service.update({
  ...bank,
  itemId: "ann",
  ops: [{ type: "increment", path: "cents", by: 100 }],
});
await service.delete({ ...bank, itemId: "ann" });

// The log is a group like any other: follow it.
let lines = 0;
for await (const frame of await service.subscribe({ streamName: "audit", groupId: "bank" })) {
  const items = frame.kind === "sync" ? frame.items : frame.kind === "change" ? [frame] : [];
  for (const { data } of items) console.log(JSON.stringify(data));
  lines += items.length;
  if (lines === 3) break;
}
await service.close();
