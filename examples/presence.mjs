// Presence: the number of viewers of a room, kept in the room itself. Run it: node
// examples/presence.mjs
import { StreamError, createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore() });

/** Each connection is an item with its subscriptions, so a repeated join or leave is harmless. */
await service.registerFunction("presence::joined", async (joined) => {
  if (joined.stream_name !== "rooms") return;
  const since = new Date().toISOString();
  await service.update({
    streamName: "presence",
    groupId: joined.group_id,
    itemId: joined.connection_id,
    ops: [{ type: "set", path: joined.subscription_id, value: since }],
  });
});
await service.registerFunction("presence::left", async (left) => {
  if (left.stream_name !== "rooms") return;
  const item = { streamName: "presence", groupId: left.group_id, itemId: left.connection_id };
  const { newValue, position } = await service.update({
    ...item,
    ops: [{ type: "remove", path: left.subscription_id }],
  });
  if (JSON.stringify(newValue) !== "{}") return;
  try {
    // Only if the connection has not joined again meanwhile.
    await service.delete({ ...item, expectedRevision: position.revision });
  } catch (error) {
    if (!(error instanceof StreamError && error.reason === "REVISION_MISMATCH")) throw error;
  }
});
// gate: false listens only. Without it, presence would decide who may join.
await service.registerTrigger({
  type: "stream:join",
  function_id: "presence::joined",
  config: { gate: false },
});
await service.registerTrigger({ type: "stream:leave", function_id: "presence::left" });

/** Prints the number of viewers whenever it changes, until all have left. */
async function watchPresence() {
  const present = new Set();
  let most = 0;
  let shown = 0;
  for await (const frame of await service.subscribe({
    streamName: "presence",
    groupId: "kitchen",
  })) {
    if (frame.kind === "sync") for (const { itemId } of frame.items) present.add(itemId);
    else if (frame.kind !== "change") continue;
    else if (frame.type === "delete") present.delete(frame.itemId);
    else present.add(frame.itemId);
    if (present.size === shown) continue;
    shown = present.size;
    console.log(`${shown} in the kitchen`);
    most = Math.max(most, present.size);
    if (most === 2 && present.size === 0) return;
  }
}
const done = watchPresence();
const kitchen = { streamName: "rooms", groupId: "kitchen" };
const ann = await service.subscribe(kitchen);
const bob = await service.subscribe(kitchen);
await ann.return?.();
await bob.return?.();
await done;
await service.close();
