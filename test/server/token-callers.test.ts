import { describe, expect, it } from "vitest";
import { rightsOf } from "../../src/rights/rights.ts";
import type { CallerRequest } from "../../src/server/caller-request.ts";
import { createTokenCallers } from "../../src/server/token-callers.ts";

const rights = () => rightsOf([], {});

/** Callers over a verifier that counts, with a clock that the test sets. */
function setUp() {
  const clock = { ms: 0 };
  const verified: string[] = [];
  const tokens = createTokenCallers(
    {
      async verify(token) {
        verified.push(token);
        return { user: "ann", claims: { sub: "ann" }, expiresAtMs: 1000, allow: undefined };
      },
    },
    () => clock.ms,
  );
  const request = (identity: object): CallerRequest => ({
    identity,
    connection: () => ({ connectionId: "c" }),
    auth: () => {
      throw new Error("There is no auth_function.");
    },
    subscribes: false,
  });
  const find = async (identity: object, token = "t") => {
    const authorization = `Bearer ${token}`;
    const known = tokens.known(authorization, identity);
    if (known !== undefined) return known.resolve(request(identity));
    return tokens.callerOf(token, authorization, request(identity), rights);
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
});
