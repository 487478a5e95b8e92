import { test } from "vitest";
import { run } from "./shared-subscription.property.test.ts";
test("dbg", async () => { 
 const s = JSON.parse(process.env["SETUP"] as string);
 for (let i = 0; i < 60; i++) { console.log("RUN", i); await run(s); } });
