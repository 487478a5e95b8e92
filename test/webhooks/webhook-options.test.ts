import { describe, expect, it } from "vitest";
import { webhookProvider } from "../../src/webhooks/webhook-provider.ts";
import { SECRET } from "./calling.ts";

const secretOf = (bytes: number) => `whsec_${Buffer.alloc(bytes, bytes).toString("base64")}`;

describe("the options of a webhook", () => {
  const of = (options: object) => () =>
    webhookProvider({ id: "f", url: "https://hooks.test/", secret: SECRET, ...options });

  it.each([
    ["http://user:hunter2@hooks.test/"],
    ["ftp://hooks.test/"],
    ["hooks.test"],
    ["https://hooks.test/#part"],
    ["https://"],
    ["https://hooks.test:99999/"],
  ])("are refused with the url %s, which is not shown", (url) => {
    expect(of({ url })).toThrow(
      "url of the webhook f is wrong; it may be an http or https URL without user name, password and fragment, such as https://hooks.example.com/orders.",
    );
  });

  it("are refused with an invalid secret, which is not shown", () => {
    const refused = [
      SECRET.slice(6),
      "whsec_",
      ...[21, 22, 23, 65, 66, 67].map((bytes) => secretOf(bytes)),
      secretOf(25).replaceAll("=", ""),
      `${SECRET}\n`,
      SECRET.replace("M", "-"),
      "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ];
    for (const secret of refused)
      expect(of({ secret })).toThrow(
        "secret of the webhook f is wrong; it may be whsec_ and 24 to 64 random bytes in base64.",
      );
  });

  it("accept secrets of 24 to 64 bytes", () => {
    for (let bytes = 24; bytes <= 64; bytes++) of({ secret: secretOf(bytes) })().close();
  });

  it("are refused with numbers out of range, and with a reserved id", () => {
    expect(of({ timeoutMs: 0 })).toThrow(
      "timeoutMs of the webhook f is 0; it may be an integer from 1 to 31536000000.",
    );
    expect(of({ maxAttempts: 1.5 })).toThrow(
      "maxAttempts of the webhook f is 1.5; it may be an integer from 1 to 100.",
    );
    expect(of({ initialBackoffMs: Number.NaN })).toThrow(
      "initialBackoffMs of the webhook f is NaN",
    );
    expect(of({ id: "engine::x" })).toThrow("function id engine::x is reserved");
  });
});
