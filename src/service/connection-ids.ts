/** Returns the id of a connection, given the object that represents it, such as its socket. */
export type ConnectionIds = (connection: object) => string;

/** Bytes of randomness of an id: 128 bits. */
const ID_BYTES = 16;

/** A unique, unguessable id of a connection: 32 hexadecimal digits. */
export function newConnectionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Ids of connections, each generated on first use: a connection that needs none costs nothing. */
export function createConnectionIds(): ConnectionIds {
  const ids = new WeakMap<object, string>();
  return (connection) => {
    let id = ids.get(connection);
    if (id === undefined) {
      id = newConnectionId();
      ids.set(connection, id);
    }
    return id;
  };
}
