import type { Registration } from "millrace";
import type { Host } from "./host.ts";

/** Functions in the process of the service. */
export const inProcessHost: Host = {
  name: "in-process",
  can: { causes: true, signals: true, results: true },
  async join({ service }) {
    const registrations: Registration[] = [];
    const track = async (registering: Promise<Registration>) => {
      const registration = await registering;
      registrations.push(registration);
      return registration;
    };
    const endAll = async (how: "withdrawn" | "lost") => {
      await Promise.all(registrations.splice(0).map((each) => each.unregister(how)));
    };
    return {
      registerFunction: (id, handler) => track(service.registerFunction(id, handler)),
      registerTrigger: (request) => track(service.registerTrigger(request)),
      trigger: (request) => service.trigger(request),
      close: () => endAll("withdrawn"),
      vanish: () => endAll("lost"),
    };
  },
};
