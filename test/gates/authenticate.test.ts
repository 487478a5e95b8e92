import { describe, expect, it } from "vitest";
import { localCoordinator } from "../../src/coordinators/local/local-coordinator.ts";
import { openGatedEngine } from "../support/gates/gated-engine.ts";
import { gatesOf } from "../support/gates/gates-of.ts";

const REQUEST = { headers: {}, path: "/", query_params: {}, addr: "", connection_id: "c1" };
const REFUSED = { code: "unauthenticated", reason: "AUTH_REFUSED", retryable: false };
const NOW = 1_700_000_000_000;
const NOBODY = { user: undefined, context: "null", expiresAtMs: undefined, allow: undefined };

/** Gates whose `auth_function` returns a fixed result, at a fixed time. */
async function gatesWith(answer: unknown) {
  const coordinator = localCoordinator();
  const { service } = openGatedEngine({ coordinator });
  await service.registerFunction("auth", () => answer);
  return gatesOf(coordinator, service, { authFunction: "auth", clock: () => NOW });
}

describe("the result of auth_function", () => {
  it.each([
    ["nothing about the caller", {}, NOBODY],
    ["null in every field", { user: null, context: null, expires_at: null, allow: null }, NOBODY],
    [
      "everything",
      { user: "ann", context: { a: [1] }, expires_at: NOW + 1, allow: [{ actions: ["read"] }] },
      {
        user: "ann",
        context: '{"a":[1]}',
        expiresAtMs: NOW + 1,
        allow: [{ actions: ["read"] }],
      },
    ],
    ["a false allow", { allow: false }, { ...NOBODY, allow: false }],
    ["a user of 256 bytes", { user: "é".repeat(128) }, { ...NOBODY, user: "é".repeat(128) }],
  ])("may have %s", async (_, answer, caller) => {
    const { gates, refusals } = await gatesWith(answer);
    expect(await gates.authenticate(REQUEST)).toStrictEqual(caller);
    expect(refusals).toEqual([]);
  });

  it.each([
    ["a number as user", { user: 7 }, "its user is a number"],
    ["an object as user", { user: { id: "ann" } }, "its user is an object"],
    ["an empty user", { user: "" }, "its user is empty"],
    ["a user of 257 bytes", { user: `${"é".repeat(128)}x` }, "its user is too long"],
    ["half a surrogate pair as user", { user: "a\ud800" }, "its user is not valid Unicode"],
    ["text as expires_at", { expires_at: `${NOW + 1}` }, "its expires_at is a string"],
    ["a boolean as expires_at", { expires_at: true }, "its expires_at is true"],
    ["a fraction as expires_at", { expires_at: NOW + 0.5 }, "its expires_at is out of range"],
    ["0 as expires_at", { expires_at: 0 }, "its expires_at is out of range"],
    ["a negative expires_at", { expires_at: -NOW }, "its expires_at is out of range"],
    ["a huge expires_at", { expires_at: 1e300 }, "its expires_at is out of range"],
    ["the present as expires_at", { expires_at: NOW }, "its expires_at is in the past"],
    ["seconds as expires_at", { expires_at: NOW / 1000 }, "its expires_at is in the past"],
    ["a context of more than 64 KiB", { context: "x".repeat(65_536) }, "its context has more"],
  ])("refuses with %s (G8)", async (_, answer, why) => {
    const { gates, refusals } = await gatesWith(answer);
    await expect(gates.authenticate(REQUEST)).rejects.toMatchObject(REFUSED);
    expect(refusals).toMatchObject([{ kind: "auth_refused", gate: "auth" }]);
    expect(refusals[0]?.why).toMatch(new RegExp(`^${why}`));
  });

  it("has rights that the caller of the gate reads", async () => {
    const { gates } = await gatesWith({ allow: ["read", "write"] });
    const { allow } = await gates.authenticate(REQUEST, (given) => (given as string[]).length);
    expect(allow).toBe(2);
  });

  it("refuses when its rights cannot be read, for a reason that only the operator sees (G8)", async () => {
    const { gates, refusals } = await gatesWith({ user: "ann", allow: "all" });
    const readAllow = () => {
      throw new Error("its allow is a string; it may be a list of rules.");
    };
    await expect(gates.authenticate(REQUEST, readAllow)).rejects.toMatchObject({
      ...REFUSED,
      message: expect.not.stringContaining("allow is") as string,
    });
    expect(refusals).toEqual([
      {
        kind: "auth_refused",
        gate: "auth",
        why: "its allow is a string; it may be a list of rules",
      },
    ]);
  });

  it.each([[undefined], [null]])("that is %j in allow is not read", async (allow) => {
    const { gates } = await gatesWith({ allow });
    const readAllow = () => {
      throw new Error("it is not read");
    };
    expect(await gates.authenticate(REQUEST, readAllow)).toStrictEqual(NOBODY);
  });
});

describe("a service without auth_function", () => {
  it("knows nothing about its callers, and reads no rights", async () => {
    const { gates } = openGatedEngine();
    const readAllow = () => {
      throw new Error("it is not read");
    };
    expect(await gates.authenticate(REQUEST, readAllow)).toStrictEqual(NOBODY);
  });
});

describe("an auth_function without a provider", () => {
  it("refuses callers, who may try again (G8)", async () => {
    const { gates } = openGatedEngine({ authFunction: "auth" });
    await expect(gates.authenticate(REQUEST)).rejects.toMatchObject({
      ...REFUSED,
      retryable: true,
    });
  });
});
