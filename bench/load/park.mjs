/* Open sockets that receive nothing. */
import { groupName, STREAM } from "./requests.mjs";
import { GREETINGS, openWebSocket } from "./web-socket.mjs";

const OPENING = 100;
/** @type {import("node:net").Socket[]} */
const parked = [];

/**
 * Opens sockets, which stay open.
 *
 * @param {{ url: string, kind: keyof typeof GREETINGS, count: number, groups: number }} options
 */
export async function park({ url, kind, count, groups }) {
  const { path, isReady } = GREETINGS[kind];
  const sockets = parked;
  for (let i = 0; i < count; i += OPENING) {
    const opening = Array.from({ length: Math.min(OPENING, count - i) }, async (_, j) =>
      openWebSocket({
        url,
        path: path ?? `/stream/${STREAM}/${groupName((i + j) % groups)}`,
        isReady,
        onBytes: () => {},
        onFailure() {
          // A closed socket is counted when they are closed.
        },
      }),
    );
    sockets.push(...(await Promise.all(opening)));
  }
}

/** Closes them. Rejects when some were closed before. */
export function unpark() {
  const sockets = parked.splice(0);
  const closed = sockets.filter((socket) => socket.destroyed).length;
  for (const socket of sockets) socket.destroy();
  if (closed > 0) throw new Error(`${closed} of ${sockets.length} sockets were closed`);
}
