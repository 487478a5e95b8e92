import { test } from "vitest";
import { run } from "./shared-subscription.property.test.ts";
test("dbg", async () => { await run(JSON.parse(process.env["SETUP"] as string)); });
