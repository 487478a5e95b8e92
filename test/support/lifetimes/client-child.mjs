// A client that binds one item to its connection, and stays: argv[2] is {url, params}, the params
// of the Set. It prints "bound" once the item is there.
import { WebSocket } from "ws";

const { url, params } = JSON.parse(process.argv[2] ?? "{}");
const socket = new WebSocket(url.replace("http", "ws"));
/** @param {string} type @param {object} data */
const send = (type, data) => socket.send(JSON.stringify({ type, data }));
socket.on("open", () => send("hello", { version: 2 }));
socket.on("message", (/** @type {Buffer} */ bytes) => {
  const { type, data } = JSON.parse(bytes.toString());
  if (type === "welcome") send("call", { id: 1, method: "Set", params });
  if (type !== "result") return;
  if (data.error !== undefined) throw new Error(data.error.message);
  process.stdout.write("bound\n");
});
