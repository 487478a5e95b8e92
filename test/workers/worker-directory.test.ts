import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createWorkerDirectory } from "../../src/workers/worker-directory.ts";
import type { WorkerSession } from "../../src/workers/worker-session.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Enters and leaves a session that refers to a connection with buffered bytes. */
function enterAndLeave(directory: ReturnType<typeof createWorkerDirectory>) {
  const connection = { buffered: new Uint8Array(1024) };
  const session = { connection, holdings: { functions: ["f"], triggers: [] } };
  const identity = directory.enter(session as unknown as WorkerSession, () => connection);
  directory.leave(identity.workerId);
  return { identity, connection: new WeakRef(connection) };
}

describe("the worker directory", () => {
  it("keeps the registrations of a disconnected worker, without a reference to its connection", async () => {
    const directory = createWorkerDirectory(60_000);
    const { identity, connection } = enterAndLeave(directory);
    // A WeakRef keeps its target alive for the rest of the event-loop turn.
    await new Promise(setImmediate);
    collectGarbage();
    expect(connection.deref()).toBeUndefined();
    const adopted: unknown[] = [];
    const next = { adopt: async (holdings: unknown) => void adopted.push(holdings) };
    await directory.reattach(identity, next as unknown as WorkerSession);
    expect(adopted).toEqual([{ functions: ["f"], triggers: [] }]);
    directory.close();
  });
});
