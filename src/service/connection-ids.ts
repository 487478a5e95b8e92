import type { Connected } from "../core/connection.ts";

/** Returns the id of a connection, given the object that represents it, such as its socket. */
export type ConnectionIds = (connection: object) => Connected;

/** Bytes of randomness of an id: 128 bits. */
const ID_BYTES = 16;

/** A unique, unguessable id of a connection: 32 hexadecimal digits. */
export function newConnectionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A connection whose id is generated on first use: one that needs none costs nothing. */
export class LazyConnection implements Connected {
  #id: string | undefined;

  /** @see Connected */
  get connectionId(): string {
    return (this.#id ??= newConnectionId());
  }
}

/** Ids of connections. */
export function createConnectionIds(): ConnectionIds {
  const known = new WeakMap<object, Connected>();
  return (connection) => {
    let connected = known.get(connection);
    if (connected === undefined) {
      connected = new LazyConnection();
      known.set(connection, connected);
    }
    return connected;
  };
}
