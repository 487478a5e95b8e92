import { describe, expect, test } from "vitest";
import { type Code, REASONS, type Reason, StreamError } from "../../src/core/errors.ts";

describe("StreamError", () => {
  const codes: Record<Code, Reason[]> = {
    invalid_argument: [
      "NAME_INVALID",
      "VALUE_INVALID",
      "VALUE_TOO_DEEP",
      "VALUE_TOO_LARGE",
      "OP_MALFORMED",
      "SCHEMA_MISMATCH",
      "PAGE_TOKEN_INVALID",
      "REQUEST_INVALID",
      "IDEMPOTENCY_MISMATCH",
    ],
    aborted: ["REVISION_MISMATCH", "EPOCH_MISMATCH"],
    unauthenticated: ["AUTH_REFUSED", "AUTH_EXPIRED"],
    permission_denied: [
      "JOIN_REFUSED",
      "WRITE_REFUSED",
      "ACTION_DENIED",
      "SUBSCRIPTION_ENDED",
      "NOT_TRUSTED",
    ],
    resource_exhausted: [
      "OVERLOADED",
      "SLOW_SUBSCRIBER",
      "RESPONSE_TOO_LARGE",
      "SNAPSHOT_TOO_LARGE",
      "RATE_LIMITED",
      "TOO_MANY_CONNECTIONS",
    ],
    unavailable: ["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "SHUTTING_DOWN"],
    failed_precondition: ["CUSTOM_STREAM_UNSUPPORTED"],
    internal: ["INTERNAL"],
  };

  test("has the code of its reason, and every reason has one", () => {
    for (const [code, reasons] of Object.entries(codes)) {
      for (const reason of reasons) expect(new StreamError(reason, "x.").code).toBe(code);
    }
    expect(Object.keys(REASONS).toSorted()).toStrictEqual(Object.values(codes).flat().toSorted());
  });

  test("is retryable when the service was busy or away, not when the caller was wrong", () => {
    const retryable = Object.keys(REASONS).filter(
      (reason) => new StreamError(reason as Reason, "x.").retryable,
    );
    expect(retryable.toSorted()).toStrictEqual(
      [
        "OVERLOADED",
        "RATE_LIMITED",
        "TOO_MANY_CONNECTIONS",
        "SLOW_SUBSCRIBER",
        "STORE_UNAVAILABLE",
        "OUTCOME_UNKNOWN",
        "SHUTTING_DOWN",
      ].toSorted(),
    );
  });

  test("carries message, metadata and cause", () => {
    const cause = new Error("inside");
    const error = new StreamError("NAME_INVALID", "item_id is empty.", {
      metadata: { field: "item_id" },
      cause,
    });
    expect(error).toMatchObject({
      name: "StreamError",
      message: "item_id is empty.",
      metadata: { field: "item_id" },
      cause,
    });
    expect(new StreamError("INTERNAL", "x.")).not.toHaveProperty("cause");
  });

  test("adds metadata to a copy and leaves the original unchanged", () => {
    const cause = new Error("inside");
    const error = new StreamError("OP_MALFORMED", "x.", {
      metadata: { field: "ops[0]", index: "1" },
      cause,
    });
    const more = error.with({ index: "2", extra: "y" });
    expect(more).toMatchObject({ reason: "OP_MALFORMED", message: "x.", cause });
    expect(more.metadata).toStrictEqual({ field: "ops[0]", index: "2", extra: "y" });
    expect(error.metadata).toStrictEqual({ field: "ops[0]", index: "1" });
  });
});

describe("StreamError.from", () => {
  test("returns a StreamError as it is", () => {
    const error = new StreamError("OVERLOADED", "x.");
    expect(StreamError.from(error)).toBe(error);
  });

  test.each([[new Error("secret")], ["secret"], [undefined], [null], [{ reason: "NAME_INVALID" }]])(
    "turns any other thrown value into INTERNAL and hides its text: %j",
    (thrown) => {
      const error = StreamError.from(thrown);
      expect(error).toMatchObject({
        reason: "INTERNAL",
        code: "internal",
        retryable: false,
        metadata: {},
      });
      expect(error.message).not.toContain("secret");
      expect(error.cause).toBe(thrown);
    },
  );
});
