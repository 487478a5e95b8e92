import { memoryStore } from "millrace";
import { describe, expect, it } from "vitest";
import { demoWindows, startServer } from "./demo-setup.ts";
import { type DemoWindow, expectNoProblems } from "./windows.ts";

const LOBBY = { streamName: "demo-presence", groupId: "lobby" };
const windowsOf = demoWindows();

describe("the presence list of the demo page in Chromium", () => {
  it("shows people and their cursors, and removes people who leave", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 2);
    const [first, second] = windows;
    const chip = (at: DemoWindow, whose: DemoWindow) =>
      at.page.locator(`#people [data-person="${whose.id}"]`);
    await chip(first, second).waitFor();
    await chip(second, first).waitFor();
    const cursor = first.page.locator(`.cursor[data-person="${second.id}"]`);
    await second.page.mouse.move(300, 300);
    await second.page.mouse.move(500, 400);
    await cursor.waitFor();
    expect(await cursor.textContent()).toBe(await chip(first, second).textContent());
    // Both windows have the same size, so the cursor appears at the same place.
    await first.until(`(() => {
      const { x, y } = document.querySelector(".cursor").getBoundingClientRect();
      return Math.abs(x - 500) < 2 && Math.abs(y - 400) < 2;
    })()`);
    await second.page.goto("about:blank");
    await chip(first, second).waitFor({ state: "detached" });
    await cursor.waitFor({ state: "detached" });
    const { items } = await server.service.list({ ...LOBBY });
    expect(items.map(({ itemId }) => itemId)).toEqual([first.id]);
    expectNoProblems(windows);
  });

  it("greys out silent people, and then removes them from the page and the service", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 1);
    const [{ page }] = windows;
    const data = { id: "ghost", name: "Ghost", color: "#123456", seenAt: "2026-01-01T00:00:00Z" };
    await page.clock.install();
    await page.reload();
    await windows[0].untilLive();
    await server.service.set({ ...LOBBY, itemId: "ghost", data });
    await page.getByText("Ghost", { exact: true }).waitFor();
    await page.clock.fastForward(10_000);
    await page.getByText("Ghost (away)").waitFor();
    // The page hides the person first, and then deletes the item.
    const deleted = page.waitForResponse((response) => response.url().endsWith("/Delete"));
    await page.clock.fastForward(6000);
    await page.getByText("Ghost").waitFor({ state: "detached" });
    await deleted;
    expect(await server.service.get({ ...LOBBY, itemId: "ghost" })).toBeUndefined();
    expectNoProblems(windows);
  });

  it("never shows people from a snapshot or its saved state who left minutes ago", async (context) => {
    let agoMs = 5 * 60_000;
    const server = await startServer({ store: memoryStore({ clock: () => Date.now() - agoMs }) });
    const arrive = async (id: string) => {
      const seenAt = new Date(Date.now() - agoMs).toISOString();
      const data = { id, name: id, color: "#123456", seenAt };
      await server.service.set({ ...LOBBY, itemId: id, data });
    };
    await arrive("left long ago");
    agoMs = 2000;
    await arrive("neighbour");
    agoMs = 0;
    const windows = await windowsOf(context, server.url, 1);
    const [window] = windows;
    const chip = (id: string) => window.page.locator(`#people [data-person="${id}"]`);
    await chip("neighbour").waitFor();
    expect((await window.everShown()).toSorted()).toEqual(["neighbour", window.id].toSorted());

    await arrive("left meanwhile");
    await chip("left meanwhile").waitFor();
    // The page reloads five minutes later. No other people were present meanwhile.
    agoMs = -5 * 60_000;
    await window.reload();
    await window.untilLive();
    await arrive("newcomer");
    await chip("newcomer").waitFor();
    // The page also deletes the items of people who have left.
    await expect
      .poll(async () =>
        (await server.service.list({ ...LOBBY })).items.map(({ itemId }) => itemId).toSorted(),
      )
      .toEqual(["newcomer", window.id].toSorted());
    expect((await window.everShown()).toSorted()).toEqual(["newcomer", window.id].toSorted());
    expectNoProblems(windows);
  });
});
