import { WebSocket } from "ws";
import { readBridgeFrame, syncItems } from "../bridge-frame.ts";

/** Ids of the items that a group has now, by the first frame of a socket of its own. */
export async function itemsOf(url: string, streamName: string, groupId: string): Promise<string[]> {
  const socket = new WebSocket(url.replace("http", "ws"));
  try {
    return await new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("The socket was closed.")));
      socket.on("open", () => {
        const data = { subscriptionId: "s", streamName, groupId };
        socket.send(JSON.stringify({ type: "join", data }));
      });
      socket.on("message", (bytes: Buffer) => {
        const frame = readBridgeFrame(bytes);
        if (frame.event.type === "sync") resolve(syncItems(frame).map(({ itemId }) => itemId));
        else reject(new Error(`a ${frame.event.type}: ${frame.event.message}`));
      });
    });
  } finally {
    socket.terminate();
  }
}
