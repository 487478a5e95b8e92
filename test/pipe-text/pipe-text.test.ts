import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import {
  type Json,
  type PipeTextOptions,
  type StreamService,
  type TextPlace,
  pipeText,
} from "millrace";
import { describe, expect, it } from "vitest";
import { random } from "../support/random.ts";
import { failingTarget, randomChunks, randomText } from "./failing-target.ts";
import { PLACE, model, open, read } from "./texts.ts";

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
