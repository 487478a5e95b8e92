import { expect, test } from "vitest";
import { check, describeViolations } from "../support/checker/index.ts";
import { simulate } from "./simulation.ts";
test("x", () => {
  let n = 0, t0 = Date.now(), records = 0;
  for (let seed = 1; seed <= 500; seed++) for (const s of [{observed:true},{observed:false},{observed:false,volatile:true},{observed:true,volatile:true},{observed:true,honourAll:true}]) {
    const h = simulate({ seed, ...s });
    records += h.length;
    const v = check(h, { durable: !s.volatile, expectEvents: false, expectResume: s.honourAll });
    if (v.length > 0 && n++ < 3) console.log(seed, s, describeViolations(v).slice(0, 3000));
  }
  console.log("bad", n, records, Date.now() - t0);
  for (const bug of ["event before commit","skipped revision","lost frame","repeat after resume","stale snapshot","wrong snapshot","early heartbeat"] as const) {
    let caught = 0; const g = new Map<string, number>();
    for (let seed = 1; seed <= 50; seed++) {
    const h = simulate({ seed, bug });
    const v = check(h);
      if (v.length) caught++;
      for (const k of new Set(v.map(x => x.guarantee+":"+x.check))) g.set(k, (g.get(k)??0)+1);
    }
    console.log(bug, caught, [...g].sort().join(" "));
  }
});
