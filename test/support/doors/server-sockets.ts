import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { onTestFinished } from "vitest";

/** The server's ends of all later connections to a port, until the test ends. */
export interface ServerSockets {
  readonly all: readonly Socket[];
  /** Resolves with the next one. */
  next(): Promise<Socket>;
}

/** Watches the connections of a port of this process. */
export function watchServerSockets(port: number): ServerSockets {
  const all: Socket[] = [];
  const waiting: ((socket: Socket) => void)[] = [];
  const onSocket = (message: unknown) => {
    const { socket } = message as { readonly socket: Socket };
    if (socket.localPort !== port) return;
    all.push(socket);
    waiting.shift()?.(socket);
  };
  subscribe("net.server.socket", onSocket);
  onTestFinished(() => void unsubscribe("net.server.socket", onSocket));
  return { all, next: () => new Promise((resolve) => waiting.push(resolve)) };
}
