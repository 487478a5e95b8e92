import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { once } from "node:events";

/** A TCP proxy that can stall and cut its connections. */
export interface Proxy {
  readonly url: string;
  /** Stops reading from the server, like a client that is too slow. */
  stall(): void;
  /** Reads again. */
  flow(): void;
  /** Drops every connection. */
  cut(): void;
  close(): Promise<void>;
}

/**
 * Opens a proxy in front of a port of this machine.
 *
 * @param options.delayMs Delay of forwarded bytes.
 */
export async function openProxy(
  port: number,
  { delayMs = 0 }: { readonly delayMs?: number } = {},
): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const serverSides = new Set<Socket>();
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
    // A server that is down must not look like a slow one.
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
    serverSides.add(far.on("close", () => serverSides.delete(far)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stall() {
      for (const far of serverSides) far.pause();
    },
    flow() {
      for (const far of serverSides) far.resume();
    },
    cut,
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
