import { describe, expect, test } from "vitest";
import type { StreamError } from "../../../src/core/errors.ts";
import { compileBinaryDecoder } from "../../../src/wire/request/binary-decoder.ts";
import { compileJsonDecoder } from "../../../src/wire/request/json-decoder.ts";
import { type Row, refusal } from "./refusal.ts";
import { OPS_ROWS, REQUESTS_ROWS } from "./refused-requests.ts";
import { NAMES_ROWS, VALUES_ROWS } from "./refused-values.ts";

const rows = [...NAMES_ROWS, ...VALUES_ROWS, ...OPS_ROWS, ...REQUESTS_ROWS];

function expectRow(row: Row, error: StreamError): void {
  expect(error).toMatchObject({ reason: row.reason, code: "invalid_argument" });
  const index = row.index === undefined ? {} : { index: row.index };
  expect(error.metadata).toEqual(row.field === undefined ? {} : { field: row.field, ...index });
  expect(error.message).toMatch(row.says);
  if (row.field !== undefined) expect(error.message.startsWith(`${row.field} `)).toBe(true);
}

describe("the binary decoder refuses", () => {
  for (const row of rows) {
    const { binary } = row;
    if (binary === undefined) continue;
    test(row.what, () =>
      expectRow(
        row,
        refusal(() => compileBinaryDecoder(row.desc)(binary)),
      ),
    );
  }
});

describe("the JSON decoder refuses", () => {
  for (const row of rows.filter(
    ({ what }, i) => rows.findIndex((other) => other.what === what) === i,
  )) {
    const { json } = row;
    if (json === undefined) continue;
    test(row.what, () =>
      expectRow(
        row,
        refusal(() => compileJsonDecoder(row.desc)(json)),
      ),
    );
  }
});
