// Presence: who is in a room, visible to everybody there. Run it: node examples/presence.mjs
import { createServer } from "millrace/server";
import { WebSocket } from "ws";

const server = await createServer({ port: 0, store: { kind: "in_memory" } });

/**
 * Enters a room over a WebSocket, as a page does.
 *
 * @param {string} room
 * @param {object} presence What the others see.
 */
async function enter(room, presence) {
  const socket = new WebSocket(server.url.replace("http", "ws"));
  /** @param {string} type @param {object} data */
  const send = (type, data) => socket.send(JSON.stringify({ type, data }));
  await new Promise((resolve) => socket.on("open", resolve));
  const subscriptionId = "room";
  send("hello", { version: 2 });
  send("join", { subscriptionId, streamName: "rooms", groupId: room, presence });
  return {
    /** @param {object} data */
    show: (data) => send("presence", { subscriptionId, data }),
    leave: () => socket.close(),
  };
}

const frames = await server.service.subscribe({
  streamName: "millrace:presence:rooms",
  groupId: "kitchen",
});
/** @type {Map<string, string>} */
const names = new Map();

/** The name in an item of presence. @param {unknown} item */
function nameOf(item) {
  const { data } = /** @type {{ data: { name: string, typing?: boolean } }} */ (item);
  return data.typing ? `${data.name} (typing)` : data.name;
}

/** Waits for the next change, and prints who is there. */
async function print() {
  const { value: frame } = await frames.next();
  if (frame?.kind === "sync")
    for (const { itemId, data } of frame.items) names.set(itemId, nameOf(data));
  else if (frame?.kind === "change" && frame.type === "delete") names.delete(frame.itemId);
  else if (frame?.kind === "change") names.set(frame.itemId, nameOf(frame.data));
  console.log(`In the kitchen: ${Array.from(names.values()).join(", ") || "nobody"}`);
}

await print();
const ann = await enter("kitchen", { name: "Ann" });
await print();
const bob = await enter("kitchen", { name: "Bob" });
await print();
ann.show({ name: "Ann", typing: true });
await print();
bob.leave();
await print();
ann.leave();
await print();
await server.close();
