import { test } from "vitest";
import { check, describeViolations } from "../support/checker/index.ts";
import { simulate } from "./simulation.ts";
test("x", () => {
  let n = 0, t0 = Date.now(), records = 0;
  for (let seed = 1; seed <= 400; seed++) for (const s of [{observed:true},{observed:false},{observed:false,volatile:true},{observed:true,volatile:true},{observed:true,honoured:1}]) {
    const h = simulate({ seed, ...s });
    records += h.length;
    const v = check(h, { durable: !s.volatile, expectEvents: false, expectResume: s.honoured === 1 });
    if (v.length > 0 && n++ < 3) console.log(seed, s, describeViolations(v).slice(0, 3000));
  }
  console.log("bad", n, records, Date.now() - t0);
}, 200000);
