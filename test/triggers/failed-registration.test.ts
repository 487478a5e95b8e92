import { expect, it } from "vitest";
import { memoryStore, StreamError } from "millrace";
import { localCoordinator } from "../../src/coordinators/local/local-coordinator.ts";
import { LOCAL } from "../../src/rights/caller.ts";
import { createEngine } from "../../src/service/engine.ts";

it("a leave trigger whose registration fails has no share of this process", async () => {
  const local = localCoordinator();
  const unbound: string[] = [];
  let isDown = true;
  const coordinator = {
    ...local,
    registry: {
      ...local.registry,
      async unbind(id: string, how: "withdrawn" | "lost") {
        unbound.push(how);
        await local.registry.unbind(id, how);
      },
    },
    leases: {
      ...local.leases,
      async hold() {
        if (isDown) throw new StreamError("STORE_UNAVAILABLE", "Redis is gone.");
      },
    },
  };
  const engine = createEngine(memoryStore(), { coordinator });
  const { register } = engine.triggerEngine;
  const caller = { ...LOCAL, connection: { connectionId: "c" } };
  const subscription = await engine.handlers.subscribe({ streamName: "s", groupId: "g" }, caller);
  const trigger = { type: "stream:leave", function_id: "leaves" };
  await expect(register(trigger)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  expect(unbound).toEqual(["lost"]);
  isDown = false;
  await register(trigger);
  expect(unbound).toEqual(["lost"]);
  subscription.close();
  await engine.close();
});
