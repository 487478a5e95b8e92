import type { JsonObject } from "@bufbuild/protobuf";
import { part } from "../../wire/request/raw-wire.ts";
import { GROUP, KEY, type Row, binary, jsonOnly, message } from "./row.ts";

type Method = "set" | "update" | "delete" | "batch";

const invalid = { reason: "REQUEST_INVALID", field: "idempotency_key" } as const;

/** Method -> a request that would change something, and the number of its key. */
const WRITES: Readonly<Record<Method, readonly [JsonObject, number]>> = {
  set: [{ ...KEY, data: 1 }, 7],
  update: [{ ...KEY, ops: [{ set: { path: "a", value: 1 } }] }, 7],
  delete: [KEY, 6],
  batch: [{ ...GROUP, mutations: [{ delete: { itemId: KEY.itemId } }] }, 6],
};

/** Idempotency keys that no write may have. */
export const IDEMPOTENCY: readonly Row[] = (["set", "update", "delete", "batch"] as const).flatMap(
  (method): Row[] => {
    const [call, number] = WRITES[method];
    const json = JSON.stringify(call).slice(0, -1);
    return [
      {
        title: `an empty idempotency key to ${method}`,
        ...message(method, { ...call, idempotencyKey: "" }),
        ...invalid,
        says: /is empty; it may be 1 to 128 bytes of valid Unicode, or absent/,
      },
      {
        title: `an idempotency key of 129 bytes to ${method}`,
        ...message(method, { ...call, idempotencyKey: "é".repeat(64) + "x" }),
        ...invalid,
        says: /is too long; it may be 1 to 128 bytes/,
      },
      {
        title: `an idempotency key with half a character to ${method}`,
        ...jsonOnly(method, `${json},"idempotencyKey":"\\ud800"}`),
        ...invalid,
      },
      {
        title: `an idempotency key that is not text to ${method}`,
        ...jsonOnly(method, JSON.stringify({ ...call, idempotencyKey: 7 })),
        ...invalid,
      },
      {
        title: `an idempotency key that is not UTF-8 to ${method}`,
        method,
        binary: Buffer.concat([
          method === "batch" ? Buffer.concat([part(1, "bad-input"), part(2, "g")]) : binary(),
          part(number, Uint8Array.of(0xff, 0xfe)),
        ]),
        ...invalid,
      },
    ];
  },
);
