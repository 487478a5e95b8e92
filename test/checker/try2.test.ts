import { test } from "vitest";
import { check, describeViolations } from "../support/checker/index.ts";
import { simulate } from "./simulation.ts";
test("x", () => {
  for (const steps of [10000, 50000, 500000]) {
    const c0 = process.cpuUsage(); const h = simulate({ seed: 1, steps, groups: 20 }); const c1 = process.cpuUsage(c0);
    const c2 = process.cpuUsage(); const v = check(h); const c3 = process.cpuUsage(c2);
    console.log(steps, h.length, "sim", c1.user/1000, "check", c3.user/1000, v.length, describeViolations(v).slice(0, 500));
  }
}, 200000);
