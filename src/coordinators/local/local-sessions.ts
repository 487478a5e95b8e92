import type { SessionRecord, Sessions } from "../../core/coordinator.ts";

/** The sessions of a service that is one process. They end with it. */
export function createLocalSessions(): Sessions {
  const records = new Map<string, SessionRecord>();
  const open = new Set<string>();
  return {
    survive: false,
    async begin(session) {
      records.set(session.id, session);
      open.add(session.connectionId);
    },
    async take(id, owner) {
      const record = records.get(id);
      return record?.owner === owner
        ? { connectionId: record.connectionId, isBound: false, leases: undefined }
        : undefined;
    },
    async end(id) {
      open.delete(records.get(id)?.connectionId ?? "");
      return records.delete(id);
    },
    bind: async ({ id }) => records.has(id),
    async connected(connections) {
      return new Set(connections.filter((connection) => open.has(connection)));
    },
    // There is no other process.
    serve() {},
  };
}
