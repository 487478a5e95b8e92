import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Server, createServer } from "millrace/server";
import { readMarkdown, codesOf, tableAfter } from "./markdown.ts";

/** The response to an update, as Connect JSON. */
interface UpdateResult {
  readonly newValue: unknown;
  readonly errors?: readonly { readonly code: string }[];
}

const { text } = await readMarkdown("docs/protocol.md");
const examples = tableAfter(text.slice(text.indexOf("Examples. `missing` means")), "").map(
  (cells) => cells.map((cell) => codesOf(cell)[0] ?? ""),
);

describe("the examples of update operations in docs/protocol.md", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({ port: 0, store: { kind: "in_memory" } });
  });
  afterAll(async () => server?.close());

  const call = async (method: string, fields: object) => {
    const response = await fetch(`${server.url}/millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ streamName: "examples", groupId: "all", itemId: "one", ...fields }),
    });
    expect(response.status).toBe(200);
    return (await response.json()) as UpdateResult;
  };

  it("show every kind of step", () => {
    const steps = examples.map(([, step = "{}"]) => Object.keys(JSON.parse(step) as object)[0]);
    const kinds = ["append", "decrement", "increment", "merge", "remove", "set"];
    expect(steps).toEqual(expect.arrayContaining(kinds));
  });

  it.each(examples)(
    "turn %s with %s into %s %s",
    async (before = "", step = "", after = "", code = "") => {
      await call("Delete", {});
      if (before !== "missing") await call("Set", { data: JSON.parse(before) as unknown });
      const { newValue, errors = [] } = await call("Update", { ops: [JSON.parse(step)] });
      expect(newValue).toEqual(JSON.parse(after));
      expect(errors.map((error) => error.code)).toEqual(code === "" ? [] : [code]);
    },
  );
});
