import { expect, it } from "vitest";
import { signer } from "../../src/webhooks/webhook-fields.ts";
import { SECRET } from "./calling.ts";

it("a signature matches other implementations of Standard Webhooks", () => {
  const body = Buffer.from('{"test": 2432232314}');
  expect(signer(SECRET)("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)).toBe(
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  );
});
