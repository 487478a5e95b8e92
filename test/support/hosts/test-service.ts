import { afterEach } from "vitest";
import { type Problem, type StreamService, memoryStore } from "millrace";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import type { Host, HostClient, HostHandler } from "./host.ts";

/** A server under test, with the connected hosts. */
export interface TestService {
  readonly service: StreamService;
  readonly server: Server;
  /** Problems reported to the operator. */
  readonly problems: readonly Problem[];
  /** Connects one more host. */
  join(): Promise<HostClient>;
}

/** Opens services for tests of a host, and closes them after each test. */
export function testServiceOn(host: Host): (options?: ServerOptions) => Promise<TestService> {
  const opened: { readonly server: Server; readonly clients: HostClient[] }[] = [];
  afterEach(async () => {
    for (const { server, clients } of opened.splice(0)) {
      await Promise.all(clients.map((client) => client.vanish().catch(() => {})));
      await server.close();
    }
  });
  return async (options = {}) => {
    const problems: Problem[] = [];
    const server = await createServer({
      port: 0,
      store: memoryStore(),
      settleTimeoutMs: 200,
      onProblem: (problem) => problems.push(problem),
      ...options,
    });
    const clients: HostClient[] = [];
    opened.push({ server, clients });
    return {
      service: server.service,
      server,
      problems,
      async join() {
        const client = await host.join({ url: server.url, service: server.service });
        clients.push(client);
        return client;
      },
    };
  };
}

/** Waits until a condition holds. Rejects with the last value after five seconds. */
export async function until<T>(
  read: () => T | Promise<T>,
  holds: (value: T) => boolean,
): Promise<T> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > deadline)
      throw new Error(`still ${JSON.stringify(value)?.slice(0, 500)}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Records the calls of a function. */
export function recorder<T = unknown>() {
  const calls: T[] = [];
  const handler: HostHandler = (payload) => {
    calls.push(payload as T);
  };
  return {
    calls,
    handler,
    /** Waits for a number of calls. */
    received: (count: number) =>
      until(
        () => calls,
        ({ length }) => length >= count,
      ),
  };
}

/** A promise and its resolver. */
export function latch() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
