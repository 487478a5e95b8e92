import { afterAll, beforeAll, expect, it } from "vitest";
import { type Server, createServer } from "millrace/server";

let server: Server;
beforeAll(async () => {
  server = await createServer({ port: 0, store: { kind: "in_memory" } });
});
afterAll(() => server.close());

// An unhandled rejection would end the service; here it fails the run.
it("a call whose deadline has already passed is refused without running", async () => {
  const key = { streamName: "s", groupId: "g", itemId: "i" };
  const response = await fetch(`${server.url}/millrace.v1.StreamService/Set`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": "0" },
    body: JSON.stringify({ ...key, data: 1, expectedRevision: "7" }),
  });
  expect(await response.json()).toMatchObject({ code: "deadline_exceeded" });
  expect(await server.service.get(key)).toBeUndefined();
});
