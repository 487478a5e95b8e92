import { describe } from "vitest";
import { HOSTS } from "../support/hosts/hosts.ts";
import { describeGates } from "./suite/gates.suite.ts";
import { describeWriteGates } from "./suite/write-gates.suite.ts";

describe.each(HOSTS)("$name", (host) => {
  describeGates(host);
  describeWriteGates(host);
});
