import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { Door, WriteStream } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { textOfBytes } from "../../support/doors/values.ts";

/** Write: pipelined calls over one stream. */
export function writeStreamSuite(door: Door, kind: StoreKind): void {
  if (door.can.write === "no") return;
  describe("a write stream", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("write"), groupId: "g" });

    if (door.can.write === "refused") {
      it("is refused with the protocols that support it", async () => {
        const stream = at.client.write();
        stream.send({ requestId: "1", set: { ...group(), itemId: "i", data: 1 } });
        stream.end();
        await expect(stream.next()).rejects.toMatchObject({
          code: "invalid_argument",
          reason: "REQUEST_INVALID",
          message: expect.stringMatching(/HTTP\/2 with gRPC or Connect/),
        });
      });
      return;
    }

    it("responds to each request under its id, without values", async () => {
      const key = { ...group(), itemId: "i" };
      const responses = await exchange(at.client.write(), [
        { requestId: "1", set: { ...key, data: { n: 1 } } },
        { requestId: "2", update: { ...key, ops: [{ increment: { path: "n", by: 2 } }] } },
        { requestId: "4", delete: key },
        { requestId: "5", delete: key },
        { requestId: "6", send: { ...key, data: null } },
        {
          requestId: "18446744073709551615",
          batch: { ...group(), mutations: [{ set: { itemId: "a", data: 1 } }] },
        },
      ]);
      const epoch = positionOf(responses.get("1"))?.epoch;
      expect(Object.fromEntries(responses)).toEqual({
        "1": { set: { created: true, position: { epoch, revision: "1" } } },
        "2": { update: { position: { epoch, revision: "2" } } },
        "4": { delete: { position: { epoch, revision: "3" } } },
        "5": { delete: {} },
        "6": { send: {} },
        "18446744073709551615": {
          batch: {
            position: { epoch: expect.any(String), revision: "1" },
            results: [
              { set: { created: true, position: { epoch: expect.any(String), revision: "1" } } },
            ],
          },
        },
      });
    });

    it("repeats a request by its content and idempotency key, whatever its id", async () => {
      const key = group();
      const set = { ...key, itemId: "a", data: { n: 1, m: 2 }, idempotencyKey: "k1" };
      const update = {
        ...{ ...key, itemId: "a", idempotencyKey: "k2" },
        ops: [{ increment: { path: "n", by: 2 } }],
      };
      const batch = {
        ...key,
        mutations: [{ set: { itemId: "b", data: 1 } }],
        idempotencyKey: "k3",
      };
      const remove = { ...key, itemId: "b", idempotencyKey: "k4" };
      const requests = [{ set }, { update }, { batch }, { delete: remove }];
      const first = await exchange(
        at.client.write(),
        requests.map((request, i) => ({ requestId: String(i), ...request })),
      );
      const again = await exchange(at.client.write(), [
        ...requests.map((request, i) => ({ requestId: String(i), ...request })),
        { requestId: "4", set: { ...set, data: { m: 2, n: 1 } }, returnValues: true },
        { requestId: "5", set: { ...set, data: 1 } },
        { requestId: "6", delete: { ...key, itemId: "a" } },
      ]);
      for (const [i, kind] of ["set", "update", "batch", "delete"].entries()) {
        const done = first.get(String(i))?.[kind] as JsonObject;
        expect(done).not.toHaveProperty("deduplicated");
        expect(again.get(String(i))).toEqual({ [kind]: { ...done, deduplicated: true } });
      }
      expect(again.get("4")).toEqual(again.get("0"));
      expect(again.get("5")).toMatchObject({
        error: { code: "invalid_argument", reason: "IDEMPOTENCY_MISMATCH" },
      });
      expect(positionOf(again.get("6"))?.revision).toBe("5");
    });

    it("responds with values on request", async () => {
      const of = group();
      const key = { ...of, itemId: "i" };
      const mutations = [{ set: { itemId: "i", data: "b" } }, { delete: { itemId: "i" } }];
      const responses = await exchange(at.client.write(), [
        { requestId: "1", returnValues: true, set: { ...key, data: null } },
        {
          requestId: "2",
          returnValues: true,
          update: { ...key, ops: [{ set: { path: "", value: "a" } }] },
        },
        { requestId: "3", returnValues: true, batch: { ...of, mutations } },
        { requestId: "4", batch: { ...of, returnValues: true, mutations } },
        { requestId: "5", set: { ...key, data: "c" } },
        { requestId: "6", returnValues: true, delete: key },
      ]);
      expect(responses.get("1")).toMatchObject({ set: { newValue: null } });
      expect(responses.get("1")?.["set"]).not.toHaveProperty("oldValue");
      expect(responses.get("2")).toMatchObject({ update: { oldValue: null, newValue: "a" } });
      expect(responses.get("3")).toMatchObject({
        batch: {
          results: [{ set: { oldValue: "a", newValue: "b" } }, { delete: { oldValue: "b" } }],
        },
      });
      expect(responses.get("4")).toMatchObject({
        batch: { results: [{ set: { newValue: "b" } }, { delete: { oldValue: "b" } }] },
      });
      expect(responses.get("6")).toMatchObject({ delete: { oldValue: "c" } });
    });

    it("applies requests of one group in the order sent", async () => {
      const key = group();
      const requests = Array.from({ length: 300 }, (_, i): JsonObject => {
        const requestId = String(i);
        const itemId = `i${i % 3}`;
        if (i % 3 === 0) return { requestId, set: { ...key, itemId, data: i } };
        if (i % 3 === 1)
          return { requestId, update: { ...key, itemId, ops: [{ set: { path: "", value: i } }] } };
        return { requestId, batch: { ...key, mutations: [{ set: { itemId, data: i } }] } };
      });
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      const responses = await exchange(at.client.write(), requests);
      expect(responses.size).toBe(300);
      for (let i = 0; i < 300; i++) {
        expect(positionOf(responses.get(String(i)))?.revision).toBe(String(i + 1));
        expect(await follower.expect("change")).toMatchObject({ data: i });
      }
      await follower.close();
    });

    it("fails only the request that an error belongs to", async () => {
      const of = group();
      const key = { ...of, itemId: "i" };
      const responses = await exchange(at.client.write(), [
        { requestId: "1", set: { ...key, data: 1 } },
        { requestId: "2", set: { ...key, itemId: "", data: 1 } },
        { requestId: "3", set: { ...key, data: 2, expectedRevision: "9" } },
        { requestId: "4", update: { ...key, ops: [{ increment: { path: "n" } }] } },
        { requestId: "5", set: key },
        { requestId: "6" },
        { requestId: "7", batch: { ...of, mutations: [{ set: { itemId: "a", data: 1 } }, {}] } },
        { requestId: "8", set: { ...key, data: "last" } },
      ]);
      const error = (code: string, reason: string, metadata: object) => ({
        error: { code, reason, metadata, message: expect.stringMatching(/^.+\.$/) },
      });
      const invalid = "invalid_argument";
      expect(responses.get("2")).toEqual(error(invalid, "NAME_INVALID", { field: "item_id" }));
      expect(responses.get("3")).toEqual(
        error("aborted", "REVISION_MISMATCH", { current_revision: "1" }),
      );
      expect(responses.get("4")).toEqual(
        error(invalid, "OP_MALFORMED", { field: expect.stringContaining("ops[0].increment.by") }),
      );
      expect(responses.get("5")).toEqual(error(invalid, "VALUE_INVALID", { field: "data" }));
      expect(responses.get("6")).toMatchObject({ error: { reason: "REQUEST_INVALID" } });
      expect(responses.get("7")).toEqual(
        error(invalid, "REQUEST_INVALID", { field: "mutations[1]", index: "1" }),
      );
      expect(positionOf(responses.get("8"))?.revision).toBe("2");
      expect(await at.client.get(key)).toMatchObject({ data: "last", revision: 2 });
    });

    it("responds while it is open, and lets responses of other groups overtake", async () => {
      const stream = at.client.write();
      const key = { ...group(), itemId: "i" };
      stream.send({ requestId: "1", set: { ...key, data: 1 } });
      expect(await stream.next()).toMatchObject({ requestId: "1" });

      const held = at.server.store.hold("run");
      stream.send({ requestId: "2", set: { ...key, data: 2 } });
      await held.reached;
      stream.send({ requestId: "3", send: { ...group(), data: "overtakes" } });
      expect(await stream.next()).toMatchObject({ requestId: "3" });
      held.release();
      expect(await stream.next()).toMatchObject({ requestId: "2" });
      stream.end();
      expect(await stream.next()).toBeUndefined();
    });

    it("drains on half-close: responds to every request sent before, then ends", async () => {
      const stream = at.client.write();
      const key = { ...group(), itemId: "i" };
      const held = at.server.store.hold("run");
      for (let i = 1; i <= 5; i++) stream.send({ requestId: String(i), set: { ...key, data: i } });
      stream.end();
      await held.reached;
      held.release();
      const ids: unknown[] = [];
      for (
        let response = await stream.next();
        response !== undefined;
        response = await stream.next()
      )
        ids.push(response["requestId"]);
      expect(new Set(ids)).toEqual(new Set(["1", "2", "3", "4", "5"]));
      expect(ids).toHaveLength(5);
      expect(await at.client.get(key)).toMatchObject({ revision: 5 });
    });

    it("accepts more requests than its window, and values up to the limit", async () => {
      const key = group();
      const small = Array.from({ length: 2500 }, (_, i): JsonObject => ({
        requestId: String(i),
        send: { ...key, data: i },
      }));
      const large = [1, 2, 3].map((i): JsonObject => ({
        requestId: `999${i}`,
        returnValues: true,
        set: { ...key, itemId: "large", data: textOfBytes(1024 * 1024) },
      }));
      expect((await exchange(at.client.write(), [...small, ...large])).size).toBe(2503);
    });

    it("ends without an error when there were no requests", async () => {
      const stream = at.client.write();
      stream.end();
      expect(await stream.next()).toBeUndefined();
    });

    it("leaves the service working when the client cancels", async () => {
      const stream = at.client.write();
      const key = { ...group(), itemId: "i" };
      stream.send({ requestId: "1", set: { ...key, data: 1 } });
      await stream.next();
      await stream.cancel();
      expect(await at.client.set({ ...key, data: 2 })).toMatchObject({ position: { revision: 2 } });
    });
  });
}

/** Sends everything, half-closes, and returns the responses by id. */
async function exchange(stream: WriteStream, requests: readonly JsonObject[]) {
  for (const request of requests) stream.send(request);
  stream.end();
  const responses = new Map<string, JsonObject>();
  for (let response = await stream.next(); response !== undefined; response = await stream.next()) {
    // Proto JSON leaves out zeros.
    const { requestId = "0", ...result } = response as { requestId?: string } & JsonObject;
    expect(responses.has(requestId)).toBe(false);
    responses.set(requestId, result);
  }
  return responses;
}

function positionOf(
  response: JsonObject | undefined,
): { epoch: string; revision: string } | undefined {
  const [result] = Object.values(response ?? {}) as JsonObject[];
  return result?.["position"] as { epoch: string; revision: string } | undefined;
}
