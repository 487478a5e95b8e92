// A client that joins a group with presence, and stays: argv[2] is {url, join}, the data of the
// join. It prints {"connectionId"} once its first frame has come.
import { WebSocket } from "ws";

const { url, join } = JSON.parse(process.argv[2] ?? "{}");
const socket = new WebSocket(url.replace("http", "ws"));
let connectionId = "";
/** @param {string} type @param {object} data */
const send = (type, data) => socket.send(JSON.stringify({ type, data }));
socket.on("open", () => send("hello", { version: 2 }));
socket.on("message", (/** @type {Buffer} */ bytes) => {
  const { type, data, event } = JSON.parse(bytes.toString());
  if (type === "welcome") {
    ({ connectionId } = data);
    send("join", join);
  }
  if (event?.type === "sync") process.stdout.write(`${JSON.stringify({ connectionId })}\n`);
  if (event?.type === "error") throw new Error(event.message);
});
