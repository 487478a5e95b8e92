// Presence: how many watch a room, kept in the room itself. Run it: node examples/presence.mjs
import { createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore() });

/** Each watcher is an item, so telling the same join or leave twice does no harm. */
await service.registerFunction("presence::joined", async (joined) => {
  if (joined.stream_name !== "rooms") return;
  await service.set({
    streamName: "presence",
    groupId: joined.group_id,
    itemId: joined.subscription_id,
    data: { since: new Date().toISOString() },
  });
});
await service.registerFunction("presence::left", async (left) => {
  if (left.stream_name !== "rooms") return;
  await service.delete({
    streamName: "presence",
    groupId: left.group_id,
    itemId: left.subscription_id,
  });
});
// gate: false listens only. Without it, presence would decide who may join.
await service.registerTrigger({
  type: "stream:join",
  function_id: "presence::joined",
  config: { gate: false },
});
await service.registerTrigger({ type: "stream:leave", function_id: "presence::left" });

/** Says how many there are, each time that changes, until everybody has left. */
async function watchPresence() {
  const present = new Set();
  let most = 0;
  for await (const frame of await service.subscribe({
    streamName: "presence",
    groupId: "kitchen",
  })) {
    if (frame.kind === "sync") for (const { itemId } of frame.items) present.add(itemId);
    else if (frame.kind !== "change") continue;
    else if (frame.type === "delete") present.delete(frame.itemId);
    else present.add(frame.itemId);
    console.log(`${present.size} in the kitchen`);
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
