import type { SessionRecord, Sessions } from "../../core/coordinator.ts";

/** The sessions of a service that is one process. They end with it. */
export function createLocalSessions(): Sessions {
  const records = new Map<string, SessionRecord>();
  return {
    survive: false,
    async begin(session) {
      records.set(session.id, session);
    },
    async take(id, owner) {
      const record = records.get(id);
      return record?.owner === owner
        ? { connectionId: record.connectionId, isBound: false, leases: undefined }
        : undefined;
    },
    isHeld: () => true,
    async end(id) {
      return records.delete(id);
    },
    bind: async ({ id }) => records.has(id),
    async connected(connections) {
      const open = new Set(Array.from(records.values(), ({ connectionId }) => connectionId));
      return new Set(connections.filter((connection) => open.has(connection)));
    },
    // There is no other process.
    serve() {},
  };
}
