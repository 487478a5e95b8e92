import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { type Mutation, type StreamService, pipeText } from "millrace";
import { describe, expect, it } from "vitest";
import { random } from "../support/random.ts";
import { failingTarget, randomChunks, randomText } from "./failing-target.ts";
import { PLACE, model, open, read } from "./texts.ts";

/** A mutation that expects nothing. */
function withoutRevision(mutation: Mutation): Mutation {
  if (!("update" in mutation)) return mutation;
  const { itemId, ops } = mutation.update;
  return { update: { itemId, ops } };
}

describe("writing a text", () => {
  it("stops when the item is deleted, and does not bring it back", async () => {
    const service = open();
    async function* source() {
      yield "It was ";
      await expect.poll(() => read(service)).toMatchObject({ text: "It was " });
      await service.delete(PLACE);
      yield "a dark night.";
      await delay(5000);
    }
    await expect(pipeText(service, PLACE, source(), { everyMs: 0 })).rejects.toMatchObject({
      reason: "REVISION_MISMATCH",
      message: expect.stringContaining('"m1" was deleted') as string,
    });
    expect(await read(service)).toBeUndefined();
  });

  it("goes on while others write beside it", async () => {
    const service = open();
    let isDone = false;
    const others = (async () => {
      for (let likes = 1; !isDone; likes++) {
        await service.update({ ...PLACE, ops: [{ type: "set", path: "likes", value: likes }] });
        await turn();
      }
    })();
    const chunks = Array.from({ length: 200 }, (_, i) => `${i} `);
    await pipeText(service, PLACE, model(chunks), { everyMs: 0 });
    isDone = true;
    await others;
    expect(await read(service)).toMatchObject({ text: chunks.join(""), done: true });
  });

  it("goes on beside others whatever fails, even when its keys are forgotten", async () => {
    const service = open();
    const dice = random(7);
    const like = { type: "increment", path: "likes", by: 1 } as const;
    const failing = failingTarget(
      service,
      () => {
        // Lets the outcome be unknown and the item be newer at the same time.
        if (dice.chance(0.3)) void service.update({ ...PLACE, ops: [like] });
        return dice.chance(0.4) ? dice.pick(["before", "after"] as const) : undefined;
      },
      (request) => ({ ...request, idempotencyKey: undefined }),
    );
    const text = randomText(dice, 3000);
    await pipeText(failing.target, PLACE, model(randomChunks(dice, text, 80)), { everyMs: 1 });
    expect(await read(service)).toMatchObject({ text, done: true });
  });

  it("is exact by its keys alone, whatever fails", async () => {
    const service = open();
    const dice = random(11);
    const failing = failingTarget(
      service,
      () => (dice.chance(0.4) ? dice.pick(["before", "after"] as const) : undefined),
      ({ mutations, ...request }) => ({ ...request, mutations: mutations.map(withoutRevision) }),
    );
    const text = randomText(dice, 3000);
    await pipeText(failing.target, PLACE, model(randomChunks(dice, text, 80)), { everyMs: 1 });
    expect(await read(service)).toEqual({ text, done: true });
  });

  it("goes on while another writes the item before each of its attempts", async () => {
    const service = open();
    const like = { type: "increment", path: "likes", by: 1 } as const;
    const { target } = failingTarget(service, () => {
      void service.update({ ...PLACE, ops: [like] });
      return undefined;
    });
    await pipeText(target, PLACE, model(["It was ", "a dark night."]), { everyMs: 0 });
    expect(await read(service)).toMatchObject({ text: "It was a dark night.", done: true });
  });

  it("stops when another one begins at its place", async () => {
    const service = open();
    async function* source() {
      for (;;) {
        await delay(1);
        yield "first ";
      }
    }
    const first = pipeText(service, PLACE, source(), { everyMs: 0 });
    const outcome = first.catch((error: unknown) => error);
    await expect.poll(async () => JSON.stringify(await read(service))).toContain("first first");
    await pipeText(service, PLACE, model(["sec", "ond"], 20));
    expect(await outcome).toMatchObject({
      reason: "REVISION_MISMATCH",
      message: expect.stringContaining("has another text") as string,
    });
    expect(await read(service)).toEqual({ text: "second", done: true });
  });

  it("stops when the text is replaced by something else", async () => {
    const service = open();
    async function* source() {
      yield "It was ";
      await expect.poll(() => read(service)).toMatchObject({ text: "It was " });
      await service.set({ ...PLACE, data: { text: 5 } });
      yield "a dark night.";
    }
    await expect(pipeText(service, PLACE, source(), { everyMs: 0 })).rejects.toMatchObject({
      reason: "REVISION_MISMATCH",
      message: expect.stringContaining("has another text") as string,
    });
    expect(await read(service)).toEqual({ text: 5 });
  });

  it.each<[string, "model" | "store"]>([
    ["while it waits for the source", "model"],
    ["while it waits for the store", "store"],
  ])("stops when it is aborted %s, and nothing is written later", async (_, slow) => {
    const service = open();
    const ending = new AbortController();
    const { target, attempts } = failingTarget(service, (attempt) =>
      slow === "store" && attempt > 1 ? "before" : undefined,
    );
    let hasEnded = false;
    async function* source() {
      try {
        yield "It was ";
        await expect.poll(() => attempts.length).toBe(2);
        yield "a dark night.";
        await delay(10_000, undefined, { signal: ending.signal });
      } finally {
        hasEnded = true;
      }
    }
    const reason = new Error("The user pressed stop.");
    const piped = pipeText(target, PLACE, source(), { everyMs: 0, signal: ending.signal });
    const outcome = piped.catch((error: unknown) => error);
    await expect.poll(() => attempts.length).toBeGreaterThan(2);
    ending.abort(reason);
    expect(await outcome).toBe(reason);
    const { length } = attempts;
    const value = await read(service);
    await delay(200);
    expect(attempts).toHaveLength(length);
    expect(await read(service)).toEqual(value);
    expect(value).toMatchObject({ done: false });
    await expect.poll(() => hasEnded).toBe(true);
  });

  it("that was on its way when it was aborted does not replace what came after", async () => {
    const service = open();
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    let late: ReturnType<StreamService["batch"]> | undefined;
    let count = 0;
    const target = {
      ...service,
      async batch(request: Parameters<StreamService["batch"]>[0]) {
        count += 1;
        if (count === 1) return service.batch(request);
        late = held.then(() => service.batch(request));
        return late;
      },
    };
    const stop = new AbortController();
    const piped = pipeText(target, PLACE, model(["It was "]), { signal: stop.signal });
    const outcome = piped.catch((error: unknown) => error);
    await expect.poll(() => count).toBe(2);
    stop.abort(new Error("Stop."));
    expect(await outcome).toMatchObject({ message: "Stop." });
    const value = { text: "", state: "stopped" };
    await service.set({ ...PLACE, data: value });
    release();
    await expect(late).rejects.toMatchObject({ reason: "REVISION_MISMATCH" });
    expect(await read(service)).toEqual(value);
  });

  it("does not begin when it is aborted before", async () => {
    const service = open();
    const signal = AbortSignal.abort(new Error("Too late."));
    await expect(pipeText(service, PLACE, ["x"], { signal })).rejects.toThrow("Too late.");
    expect(await service.get(PLACE)).toBeUndefined();
  });

  it("gives up after the time for repetitions", async () => {
    const { target, attempts } = failingTarget(open(), () => "before");
    const started = performance.now();
    await expect(pipeText(target, PLACE, ["x"], { retryForMs: 300 })).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    expect(performance.now() - started).toBeLessThan(2000);
    expect(attempts.length).toBeGreaterThan(2);
  });

  it("is refused at once where the service refuses it, and when the service shuts down", async () => {
    const service = open();
    await expect(pipeText(service, { ...PLACE, itemId: "" }, ["x"])).rejects.toMatchObject({
      reason: "NAME_INVALID",
    });
    await service.close();
    await expect(pipeText(service, PLACE, ["x"])).rejects.toMatchObject({
      reason: "SHUTTING_DOWN",
    });
  });

  it.each([
    ["everyMs", { everyMs: -1 }],
    ["everyMs", { everyMs: 1.5 }],
    ["everyMs", { everyMs: 60_001 }],
    ["retryForMs", { retryForMs: Number.NaN }],
  ])("refuses an invalid %s", async (field, options) => {
    const service = open();
    await expect(pipeText(service, PLACE, ["x"], options)).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field },
      message: expect.stringContaining("may be an integer from 0 to") as string,
    });
    expect(await service.get(PLACE)).toBeUndefined();
  });
});
