import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { once } from "node:events";

/** A connection in between: it passes bytes on until told otherwise. */
export interface Proxy {
  readonly url: string;
  /** Takes nothing more from the server, as if the client's machine were too slow. */
  stall(): void;
  /** Goes on. */
  flow(): void;
  /** Drops every connection without a word. */
  cut(): void;
  close(): Promise<void>;
}

/** Opens a proxy in front of a port of this machine. @param options.delayMs How late it passes on what comes. */
export async function openProxy(
  port: number,
  { delayMs = 0 }: { readonly delayMs?: number } = {},
): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const fars = new Set<Socket>();
  const join = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    join(near);
    join(far);
    if (delayMs === 0) near.pipe(far);
    else near.on("data", (chunk) => setTimeout(() => void far.write(chunk), delayMs));
    far.on("data", (chunk) => near.write(chunk));
    far.on("end", () => near.end());
    // A server that is not there must not look like one that is slow.
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
    fars.add(far.on("close", () => fars.delete(far)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stall() {
      for (const far of fars) far.pause();
    },
    flow() {
      for (const far of fars) far.resume();
    },
    cut,
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
