import { describe, expect, it } from "vitest";
import { openClient } from "../support/lifetimes/socket-client.ts";
import { joinWith, presenceOf } from "../support/presence/presence-watch.ts";
import { demoWindows, startServer } from "./demo-setup.ts";
import { type DemoWindow, expectNoProblems } from "./windows.ts";

const LOBBY = { streamName: "demo-lobby", groupId: "lobby" };
const PRESENCE = presenceOf(LOBBY);
const windowsOf = demoWindows();

/** A person with another client than the page. */
async function arrive(url: string, id: string) {
  const client = await openClient(url, { path: "/" });
  await joinWith(client, LOBBY, { id, name: id, color: "#123456" });
  return client;
}

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
    const { items } = await server.service.list(PRESENCE);
    expect(items).toMatchObject([{ data: { data: { id: first.id } } }]);
    expectNoProblems(windows);
  });

  it("shows people whose connection is lost until the service gives them up", async (context) => {
    const server = await startServer({ presenceTimeoutMs: 1000 });
    const windows = await windowsOf(context, server.url, 1);
    const [window] = windows;
    const chip = window.page.locator('#people [data-person="ghost"]');
    const ghost = await arrive(server.url, "ghost");
    await chip.waitFor();
    ghost.line.socket.terminate();
    const lostMs = performance.now();
    await chip.waitFor({ state: "detached" });
    expect(performance.now() - lostMs).toBeGreaterThan(900);
    expectNoProblems(windows);
  });

  it("never shows people of an earlier load who have left meanwhile", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 1);
    const [window] = windows;
    const chip = (id: string) => window.page.locator(`#people [data-person="${id}"]`);
    const ghost = await arrive(server.url, "ghost");
    await chip("ghost").waitFor();
    await window.page.goto("about:blank");
    ghost.line.socket.close();
    await expect.poll(async () => (await server.service.list(PRESENCE)).items.length).toBe(0);
    await window.page.goBack();
    await window.untilLive();
    await arrive(server.url, "newcomer");
    await chip("newcomer").waitFor();
    expect((await window.everShown()).toSorted()).toEqual(["newcomer", window.id].toSorted());
    expectNoProblems(windows);
  });
});
