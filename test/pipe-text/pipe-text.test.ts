import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import {
  type Json,
  type PipeTextOptions,
  type TextPlace,
  type StreamService,
  createStreamService,
  memoryStore,
  pipeText,
} from "millrace";
import { describe, expect, it, onTestFinished } from "vitest";
import { random } from "../support/random.ts";
import { failingTarget, randomChunks, randomText } from "./failing-target.ts";

const PLACE = { streamName: "answers", groupId: "g", itemId: "m1", path: "text" };

function open(): StreamService {
  const service = createStreamService({ store: memoryStore() });
  onTestFinished(() => service.close());
  return service;
}

/** A model that says chunks, with a pause before each. */
async function* model(chunks: readonly string[], pauseMs = 0): AsyncGenerator<string> {
  for (const chunk of chunks) {
    if (pauseMs > 0) await delay(pauseMs);
    else await turn();
    yield chunk;
  }
}

const read = async (service: StreamService): Promise<Json | undefined> =>
  (await service.get(PLACE))?.data;

/** All values that the item has had. */
const values = async (service: StreamService) =>
  (await service.history({ ...PLACE, pageSize: 1000 })).changes.map(({ data }) => data);

describe("a text that is piped", () => {
  it("begins empty, grows as it comes, and ends with the mark that it is done", async () => {
    const service = open();
    const done = await pipeText(service, PLACE, model(["Hello", ", ", "world"], 5), { everyMs: 0 });
    const all = await values(service);
    expect(all[0]).toEqual({ text: "", done: false });
    expect(all.at(-1)).toEqual({ text: "Hello, world", done: true });
    for (const value of all.slice(0, -1)) {
      expect(value).toMatchObject({ done: false });
      expect("Hello, world").toMatch(new RegExp(`^${(value as { text: string }).text}`));
    }
    const { changes, head } = await service.history(PLACE);
    expect(done).toEqual({ position: head, chars: 12 });
    expect(changes.length).toBeGreaterThanOrEqual(3);
  });

  it.each<[string, Pick<TextPlace, "path">, Json, PipeTextOptions]>([
    ["as the whole value", { path: "" }, "Hello", {}],
    ["below a path of keys", { path: ["a", "b"] }, { a: { b: "Hello", done: true } }, {}],
    [
      "with other steps at the end",
      {},
      { text: "Hello", state: "complete" },
      {
        final: [{ type: "set", path: "state", value: "complete" }],
      },
    ],
    ["with no steps at the end", {}, { text: "Hello" }, { final: [] }],
    [
      "with steps at the start",
      {},
      { text: "Hello", by: "ann", done: true, tries: 1 },
      {
        start: [
          { type: "merge", value: { by: "ann" } },
          { type: "increment", path: "tries", by: 1 },
        ],
      },
    ],
  ])("is kept %s", async (_, place, expected, options) => {
    const service = open();
    await pipeText(service, { ...PLACE, ...place }, model(["Hel", "lo"]), options);
    expect(await read(service)).toEqual(expected);
  });

  it("replaces an earlier one, and leaves what is beside it", async () => {
    const service = open();
    await service.set({ ...PLACE, data: { text: "old", done: true, likes: 3 } });
    await pipeText(service, PLACE, ["new"]);
    expect(await read(service)).toEqual({ text: "new", done: true, likes: 3 });
    expect((await values(service))[1]).toEqual({ text: "", done: false, likes: 3 });
  });

  it("may be empty", async () => {
    const service = open();
    expect(await pipeText(service, PLACE, model(["", ""]))).toMatchObject({ chars: 0 });
    expect(await read(service)).toEqual({ text: "", done: true });
  });

  it("is written in few updates when it comes in many chunks", async () => {
    const service = open();
    const { target, attempts } = failingTarget(service, () => undefined);
    const chunks = Array.from({ length: 300 }, (_, i) => `${i} `);
    await pipeText(target, PLACE, model(chunks, 1), { everyMs: 40 });
    expect(await read(service)).toEqual({ text: chunks.join(""), done: true });
    expect(attempts.length).toBeGreaterThan(3);
    // The first, and one for each 40 ms.
    expect(attempts.length).toBeLessThan(60);
  });

  it("is written at once when it comes after a pause", async () => {
    const service = open();
    async function* source() {
      await delay(600);
      yield "It was ";
      const started = performance.now();
      await expect.poll(() => read(service)).toMatchObject({ text: "It was " });
      expect(performance.now() - started).toBeLessThan(400);
      yield "a dark night.";
    }
    await pipeText(service, PLACE, source(), { everyMs: 500 });
    expect(await read(service)).toEqual({ text: "It was a dark night.", done: true });
  });

  it("is complete whatever fails, with nothing doubled or lost", async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const dice = random(seed);
      const service = open();
      const text = randomText(dice, 200 + dice.below(2000));
      const failing = failingTarget(service, () =>
        dice.chance(0.3) ? dice.pick(["before", "after", "limited"] as const) : undefined,
      );
      const chunks = model(randomChunks(dice, text, 40));
      const done = await pipeText(failing.target, PLACE, chunks, { everyMs: dice.below(3) });
      expect(await read(service)).toEqual({ text, done: true });
      expect(done.chars).toBe(text.length);
      // Subscribers only ever see beginnings of the text.
      for (const value of await values(service))
        expect(text.startsWith((value as { text: string }).text)).toBe(true);
    }
  });

  it("replaces halves of surrogate pairs that stay alone", async () => {
    const service = open();
    await pipeText(
      service,
      PLACE,
      model(["a\ud83d", "b", "\udca7", "\ud83d", "\udca7", "c\ud83d"]),
    );
    expect(await read(service)).toEqual({ text: "a\ufffdb\ufffd💧c\ufffd", done: true });
  });

  it("is written as a whole again when the service has lost its history", async () => {
    const before = open();
    const after = open();
    const failing = failingTarget(before, () => undefined);
    async function* source() {
      yield "It was ";
      await expect.poll(() => read(before)).toEqual({ text: "It was ", done: false });
      failing.service = after;
      yield "a dark ";
      await expect.poll(() => read(after)).toEqual({ text: "It was a dark ", done: false });
      yield "night.";
    }
    const done = await pipeText(failing.target, PLACE, source(), { everyMs: 0 });
    expect(await read(after)).toEqual({ text: "It was a dark night.", done: true });
    expect(done.position).toEqual((await after.list(PLACE)).position);
  });

  it("may be longer than one write, and is refused beyond the limit of values", async () => {
    const service = open();
    const text = "0123456789".repeat(50_000);
    await pipeText(service, PLACE, [text, text]);
    expect(await read(service)).toEqual({ text: text + text, done: true });
    await expect(pipeText(service, PLACE, [text, text, text])).rejects.toMatchObject({
      reason: "VALUE_TOO_LARGE",
    });
  });
});

describe("the source of a text", () => {
  it("is not read ahead without limit while the store is slow", async () => {
    const service = open();
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const target = {
      ...service,
      async batch(request: Parameters<StreamService["batch"]>[0]) {
        await held;
        return service.batch(request);
      },
    };
    let given = 0;
    const chunk = "x".repeat(1000);
    async function* endless() {
      for (; given < 500; given++) yield chunk;
    }
    const piped = pipeText(target, PLACE, endless());
    await delay(50);
    const ahead = given;
    expect(ahead).toBeGreaterThan(60);
    expect(ahead).toBeLessThan(70);
    await delay(50);
    expect(given).toBe(ahead);
    release();
    expect(await piped).toMatchObject({ chars: 500_000 });
  });

  it("that fails leaves the text that came before, without the mark", async () => {
    const service = open();
    async function* source() {
      yield "It was ";
      throw new Error("The model is gone.");
    }
    await expect(pipeText(service, PLACE, source())).rejects.toThrow("The model is gone.");
    expect(await read(service)).toEqual({ text: "It was ", done: false });
  });

  it.each<[string, unknown]>([
    ["a number", 5],
    ["null", null],
    ["an object", {}],
    ["bytes", new Uint8Array(2)],
  ])("may not give %s", async (_, chunk) => {
    const service = open();
    let hasEnded = false;
    async function* source() {
      try {
        yield "It was ";
        yield chunk as string;
      } finally {
        hasEnded = true;
      }
    }
    await expect(pipeText(service, PLACE, source())).rejects.toThrow(
      /A chunk is .*may be a string/,
    );
    expect(await read(service)).toEqual({ text: "It was ", done: false });
    expect(hasEnded).toBe(true);
  });

  it("is ended when the text cannot be written", async () => {
    const service = open();
    let hasEnded = false;
    async function* source() {
      try {
        for (;;) {
          await turn();
          yield "x";
        }
      } finally {
        hasEnded = true;
      }
    }
    await service.set({ ...PLACE, data: "no object" });
    await expect(pipeText(service, PLACE, source())).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "path", code: "merge.target_not_object" },
    });
    await expect.poll(() => hasEnded).toBe(true);
  });
});

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
      ({ idempotencyKey: _, ...request }) => request,
    );
    const text = randomText(dice, 3000);
    await pipeText(failing.target, PLACE, model(randomChunks(dice, text, 80)), { everyMs: 1 });
    expect(await read(service)).toMatchObject({ text, done: true });
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
    const outcome = expect(first).rejects.toMatchObject({
      reason: "REVISION_MISMATCH",
      message: expect.stringContaining("has another text") as string,
    });
    await expect.poll(async () => JSON.stringify(await read(service))).toContain("first first");
    await pipeText(service, PLACE, model(["sec", "ond"], 20));
    await outcome;
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
    const outcome = expect(piped).rejects.toBe(reason);
    await expect.poll(() => attempts.length).toBeGreaterThan(2);
    ending.abort(reason);
    await outcome;
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
    let late: Promise<unknown> = Promise.resolve();
    let count = 0;
    const target = {
      ...service,
      async batch(request: Parameters<StreamService["batch"]>[0]) {
        count += 1;
        if (count === 1) return service.batch(request);
        late = held.then(() => service.batch(request));
        return late as ReturnType<StreamService["batch"]>;
      },
    };
    const stop = new AbortController();
    const piped = pipeText(target, PLACE, model(["It was "]), { signal: stop.signal });
    const outcome = expect(piped).rejects.toThrow("Stop.");
    await expect.poll(() => count).toBe(2);
    stop.abort(new Error("Stop."));
    await outcome;
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
