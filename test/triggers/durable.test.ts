import { describe } from "vitest";
import { HOSTS } from "../support/hosts/hosts.ts";
import { inProcessHost } from "../support/hosts/in-process-host.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { DISK, MEMORY, REDIS } from "../support/hosts/service-stores.ts";
import { describeDurable } from "./suite/durable.suite.ts";
import { describeStart } from "./suite/start.suite.ts";

describe.each(HOSTS)("$name", (host) => {
  describeDurable(host, MEMORY);
  describeStart(host, MEMORY);
});
describe("on disk", () => {
  describeDurable(inProcessHost, DISK);
  describeStart(inProcessHost, DISK);
});
describeWithRedis("on Redis", () => {
  describeDurable(inProcessHost, REDIS);
  describeStart(inProcessHost, REDIS);
});
