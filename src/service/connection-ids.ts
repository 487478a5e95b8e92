/** Finds the id of a connection by the object that stands for it, such as its socket. */
export type ConnectionIds = (connection: object) => string;

/** Bytes of randomness of an id: 128 bits. */
const ID_BYTES = 16;

/** An id that no two connections share and nobody can guess: 32 hexadecimal digits. */
export function newConnectionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Ids of connections, each made when it is first asked for: a connection that needs none costs nothing. */
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
