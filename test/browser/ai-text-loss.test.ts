import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import {
  ANSWER,
  TEST_TIMEOUT_MS,
  answerPages,
  startExample,
  startService,
  untilAway,
  untilLive,
  wholeTexts,
} from "./ai-text-page.ts";

const openPage = answerPages();

describe(
  "an answer on the page of examples/ai-text while a connection or the service is lost",
  { timeout: TEST_TIMEOUT_MS },
  () => {
    it("goes on after 5 s offline", async (context) => {
      const service = await startService();
      const example = await startExample(service.url, 30);
      const window = await openPage(context, example.url);
      await window.ask();
      await window.untilPart(0.2);
      await window.page.context().setOffline(true);
      await untilAway(window.page);
      const before = await window.text();
      await delay(5000);
      expect(await window.text()).toBe(before);
      await window.page.context().setOffline(false);
      expect(await window.untilDone()).toBe(ANSWER);
      expect(await window.shown()).toMatchObject({ wrong: [] });
      expect(window.sockets.slice(1).flatMap(wholeTexts)).toEqual([]);
      expect(window.problems).toEqual([]);
    });

    it("goes on each time that the service is killed and started again (G4, G6)", async (context) => {
      const service = await startService();
      const example = await startExample(service.url, 40);
      const window = await openPage(context, example.url);
      await window.ask();
      await window.untilPart(0.2);
      await service.kill();
      await untilAway(window.page);
      const before = await window.text();
      await delay(300);
      expect(await window.text()).toBe(before);
      await service.restart();
      await untilLive(window.page);
      expect(await window.shown()).toMatchObject({ wrong: [] });
      await service.kill();
      // The page keeps what it has even if it is reloaded while there is no service.
      const kept = await window.text();
      await window.page.reload();
      await untilAway(window.page);
      expect((await window.text()).length).toBeGreaterThanOrEqual(kept.length);
      await service.restart();
      expect(await window.untilDone()).toBe(ANSWER);
      expect(await window.shown()).toMatchObject({ wrong: [] });
      expect(window.sockets.slice(1).flatMap(wholeTexts)).toEqual([]);
      expect(window.problems).toEqual([]);
    });
  },
);
