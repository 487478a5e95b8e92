import { afterAll, beforeAll } from "vitest";
import type { Door, DoorClient } from "./door.ts";
import {
  type StoreKind,
  type TestServer,
  type TestServerOptions,
  startServer,
} from "./test-server.ts";

/** The server and client of a suite, for all of its tests. */
export interface OpenDoor {
  readonly client: DoorClient;
  readonly server: TestServer;
}

/** Starts a server and a client before the tests of the suite, and stops both after them. */
export function openDoor(door: Door, kind: StoreKind, options?: TestServerOptions): OpenDoor {
  let open: OpenDoor | undefined;
  beforeAll(async () => {
    const server = await startServer(kind, options);
    open = { server, client: door.client(server) };
  });
  afterAll(async () => {
    await open?.client.close();
    await open?.server.close();
  });
  const opened = () => {
    if (open === undefined) throw new Error("the door is not open before the tests run");
    return open;
  };
  return {
    get client() {
      return opened().client;
    },
    get server() {
      return opened().server;
    },
  };
}
