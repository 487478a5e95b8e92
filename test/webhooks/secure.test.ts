import { describe, expect, it, onTestFinished, vi } from "vitest";
import { call, failureOf, hasty, hookTo, resolver } from "./calling.ts";
import { CERTIFICATE } from "./certificate.ts";
import { answering, receiveSecurely } from "./receiver.ts";

const HERE = resolver(["127.0.0.1"]);

describe("a webhook over https", () => {
  it("is called when its certificate is trusted", async () => {
    const receiver = await receiveSecurely(answering(200, "1"));
    const around = { lookup: HERE.lookup, authorities: CERTIFICATE };
    expect(await call(hookTo(`https://hooks.test:${receiver.port}/`, {}, around))).toBe("1");
  });

  it("is not called when its certificate is not trusted, whatever the environment says", async () => {
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const receiver = await receiveSecurely(answering(200, "1"));
    const around = { ...hasty(), lookup: HERE.lookup };
    expect(await failureOf(hookTo(`https://hooks.test:${receiver.port}/`, {}, around))).toBe(
      "invocation_failed: The function orders::notify could not be reached in attempt 3 (DEPTH_ZERO_SELF_SIGNED_CERT).",
    );
    expect(receiver.received).toHaveLength(0);
  });

  it("is not called when the certificate is for another host", async () => {
    const receiver = await receiveSecurely(answering(200, "1"));
    const around = { ...hasty(), lookup: HERE.lookup, authorities: CERTIFICATE };
    expect(await failureOf(hookTo(`https://other.test:${receiver.port}/`, {}, around))).toContain(
      "(ERR_TLS_CERT_ALTNAME_INVALID)",
    );
    expect(receiver.received).toHaveLength(0);
  });
});
