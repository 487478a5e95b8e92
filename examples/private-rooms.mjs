// Private rooms: only members may follow a room. Run it: node examples/private-rooms.mjs
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

for (const user of ["ann", "bob", undefined]) {
  const headers = user === undefined ? {} : { authorization: user };
  try {
    const frames = await service.subscribe({
      streamName: "rooms",
      groupId: "attic",
      auth: { headers },
    });
    console.log(`${user} may come in: ${(await frames.next()).value?.kind}`);
    await frames.return?.();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    console.log(`${user ?? "somebody"} stays out: ${error.reason}`);
  }
}
await service.close();
