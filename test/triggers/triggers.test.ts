import { describe } from "vitest";
import { HOSTS } from "../support/hosts/hosts.ts";
import { describeDispatch } from "./suite/dispatch.suite.ts";
import { describeFiring } from "./suite/firing.suite.ts";

describe.each(HOSTS)("$name", (host) => {
  describeFiring(host);
  describeDispatch(host);
});
