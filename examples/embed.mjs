// The service inside a program, without a port. Run it after `npm run build`:
//
//   node examples/embed.mjs
import { createStreamService, memoryStore } from "millrace";

const service = createStreamService({ store: memoryStore() });
const group = { streamName: "chat", groupId: "lobby" };
await service.set({ ...group, itemId: "m1", data: { text: "hello", likes: 0 } });

const frames = await service.subscribe(group);
await service.update({
  ...group,
  itemId: "m1",
  ops: [{ type: "increment", path: "likes", by: 1 }],
});
for await (const frame of frames) {
  console.log(frame.kind, JSON.stringify(frame));
  if (frame.kind === "change") break;
}
await service.close();
