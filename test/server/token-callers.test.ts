import { describe, expect, it } from "vitest";
import { rightsOf } from "../../src/rights/rights.ts";
import type { CallerRequest } from "../../src/server/caller-request.ts";
import { createTokenCallers } from "../../src/server/token-callers.ts";

const rights = () => rightsOf([], {});

/** Callers over a verifier that counts, with a clock that the test sets. */
function setUp(leewayMs = 0) {
  const clock = { ms: 0 };
  const verified: string[] = [];
  const tokens = createTokenCallers(
    {
      async verify(token) {
        verified.push(token);
        const times = { expiresAtMs: 1000, acceptedUntilMs: 1000 + leewayMs };
        return { user: "ann", claims: { sub: "ann" }, ...times, allow: undefined };
      },
    },
    () => clock.ms,
  );
  const request = (identity: object, staysOpen: boolean): CallerRequest => ({
    identity,
    connection: () => ({ connectionId: "c" }),
    auth: () => {
      throw new Error("There is no auth_function.");
    },
    subscribes: false,
    staysOpen,
  });
  const find = async (identity: object, token = "t", staysOpen = false) => {
    const authorization = `Bearer ${token}`;
    const known = tokens.known(authorization, identity);
    if (known !== undefined) return known.resolve(request(identity, staysOpen));
    return tokens.callerOf(token, authorization, request(identity, staysOpen), rights);
  };
  return { clock, verified, find };
}

describe("the callers of tokens", () => {
  it("are verified once for a connection, also while they are being verified", async () => {
    const { verified, find } = setUp();
    const connection = {};
    const callers = await Promise.all([find(connection), find(connection), find(connection)]);
    callers.push(await find(connection));
    expect(new Set(callers).size).toBe(1);
    expect(verified).toEqual(["t"]);
    await find({});
    await find(connection, "other");
    expect(verified).toEqual(["t", "t", "other"]);
  });

  it("are refused with AUTH_EXPIRED once their token has expired", async () => {
    const { clock, find } = setUp();
    const connection = {};
    await find(connection);
    clock.ms = 1000;
    await expect(find(connection)).rejects.toMatchObject({ reason: "AUTH_EXPIRED" });
  });

  it("make single calls until the leeway is over, and open nothing once their token has expired", async () => {
    const { clock, find } = setUp(500);
    const known = {};
    expect((await find(known, "t", true)).expiresAtMs).toBe(1000);
    clock.ms = 1499;
    for (const connection of [known, {}]) {
      expect((await find(connection)).expiresAtMs).toBe(1500);
      await expect(find(connection, "t", true)).rejects.toMatchObject({ reason: "AUTH_EXPIRED" });
    }
    clock.ms = 1500;
    await expect(find(known)).rejects.toMatchObject({ reason: "AUTH_EXPIRED" });
  });
});
