import { describe, expect, it } from "vitest";
import {
  ANSWER,
  TEST_TIMEOUT_MS,
  answerPages,
  startExample,
  startService,
  untilLive,
  wholeTexts,
} from "./ai-text-page.ts";

const openPage = answerPages();

describe(
  "an answer on the page of examples/ai-text, in Chromium",
  { timeout: TEST_TIMEOUT_MS },
  () => {
    it("goes on after each reload, without being sent again", async (context) => {
      const service = await startService();
      const example = await startExample(service.url, 20);
      const window = await openPage(context, example.url);
      await window.ask();
      for (const part of [0.2, 0.5, 0.8]) {
        await window.untilPart(part);
        const before = await window.text();
        expect(await window.shown()).toMatchObject({ wrong: [] });
        await window.page.reload();
        await untilLive(window.page);
        // It is there at once, before the service has been asked.
        expect((await window.shown()).first?.length).toBeGreaterThanOrEqual(before.length);
      }
      expect(await window.untilDone()).toBe(ANSWER);
      expect(await window.shown()).toMatchObject({ wrong: [] });
      // A snapshot when the page was opened first; then only steps.
      expect(window.sockets).toHaveLength(4);
      expect(window.sockets.slice(1).flatMap(wholeTexts)).toEqual([]);
      expect(window.problems).toEqual([]);
    });

    it("is asked for again when the program that writes it was killed", async (context) => {
      const service = await startService();
      const example = await startExample(service.url, 10);
      const window = await openPage(context, example.url);
      await window.ask();
      await window.untilPart(0.3);
      await example.kill();
      await example.restart();
      expect(await window.untilDone()).toBe(ANSWER);
      expect(window.problems).toEqual([]);
    });

    it("ends where the reader stops it, in every window", async (context) => {
      const service = await startService();
      const example = await startExample(service.url, 150);
      const window = await openPage(context, example.url);
      await window.ask();
      await window.untilPart(0.01);
      const other = await openPage(context, window.page.url());
      await other.untilPart(0.03);
      await other.page.getByRole("button", { name: "Stop" }).click();
      const text = await window.untilDone();
      expect(ANSWER.startsWith(text)).toBe(true);
      expect(text.length).toBeLessThan(ANSWER.length);
      expect(await other.untilDone()).toBe(text);
      expect([...window.problems, ...other.problems]).toEqual([]);
    });
  },
);
