import { check } from "../support/checker/index.ts";
import { simulate } from "./simulation.ts";
const h = simulate({ seed: 1, steps: 500000, groups: 20 });
const c2 = process.cpuUsage(); const v = check(h); const c3 = process.cpuUsage(c2);
console.log(h.length, c3.user / 1000, v.length);
