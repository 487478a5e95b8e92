import { test } from "vitest";
import { check, describeViolations } from "../support/checker/index.ts";
import { simulate } from "./simulation.ts";
test("x", () => {
  for (let round = 0; round < 3; round++) {
  let t0 = performance.now(); const hs = [];
  for (let seed = 1; seed <= 100; seed++) hs.push(simulate({ seed }));
  let t1 = performance.now();
  for (const h of hs) check(h);
  let t2 = performance.now();
  console.log("sim", t1 - t0, "check", t2 - t1, hs.reduce((n, h) => n + h.length, 0));
  }
  for (const steps of [10000, 50000, 200000]) {
    const t0 = performance.now(); const h = simulate({ seed: 1, steps }); const t1 = performance.now();
    const v = check(h); const t2 = performance.now();
    console.log(steps, h.length, "sim", t1-t0, "check", t2 - t1, v.length, describeViolations(v).slice(0, 500));
  }
}, 200000);
