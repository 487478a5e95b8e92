// Private rooms: only members may follow a room, or see who is there. Run it: node
// examples/private-rooms.mjs
import { StreamError, createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore(), authFunction: "rooms::who" });

/** The identity of a caller. Here it is a header; your code would verify a token. */
await service.registerFunction("rooms::who", ({ headers }) => {
  const user = headers.authorization;
  return user === undefined ? { unauthorized: true } : { context: { user } };
});

/** Whether the caller may join: the context is the result of auth. */
await service.registerFunction("rooms::may-join", async ({ stream_name, group_id, context }) => {
  if (stream_name !== "rooms") return;
  const member = await service.get({
    streamName: "members",
    groupId: group_id,
    itemId: context.user,
  });
  return { unauthorized: member === undefined };
});
await service.registerTrigger({ type: "stream:join", function_id: "rooms::may-join" });

await service.set({ streamName: "members", groupId: "attic", itemId: "ann", data: true });

// The gate of a room decides about its presence, too.
const streams = { rooms: "come in", "millrace:presence:rooms": "see who is there" };
for (const user of ["ann", "bob", undefined]) {
  const headers = user === undefined ? {} : { authorization: user };
  for (const [streamName, what] of Object.entries(streams)) {
    try {
      const room = { streamName, groupId: "attic", auth: { headers } };
      const frames = await service.subscribe(room);
      console.log(`${user} may ${what}`);
      await frames.return?.();
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      console.log(`${user ?? "somebody"} may not ${what}: ${error.reason}`);
    }
  }
}
await service.close();
