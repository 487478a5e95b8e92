import { describe } from "vitest";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { DISK, MEMORY, REDIS } from "../support/hosts/service-stores.ts";
import { describeTriggerAdministration } from "./suite/administration.suite.ts";

describe.each([MEMORY, DISK])("in $name", (store) => {
  describeTriggerAdministration(store);
});
describeWithRedis("on Redis", () => describeTriggerAdministration(REDIS));
