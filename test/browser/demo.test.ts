import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, StreamService } from "millrace";
import { describe, expect, it, onTestFinished } from "vitest";
import { createPublisher } from "../../scripts/demo/publisher.mjs";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { freePort, startChild } from "../support/long/child-server.ts";
import { demoWindows, startServer } from "./demo-setup.ts";
import { openClient } from "../support/lifetimes/socket-client.ts";
import { joinWith } from "../support/presence/presence-watch.ts";
import { type DemoWindow, expectNoProblems } from "./windows.ts";

const FIGURES = { streamName: "dashboard-metrics", groupId: "this-machine" };
const LOBBY = { streamName: "demo-lobby", groupId: "lobby" };
const BOARD = { streamName: "demo-board", groupId: "lobby" };
const windowsOf = demoWindows();

/** Publishes figures like npm run demo, with values that identify the tick. */
async function publisherTo(url: string) {
  const publish = await createPublisher(url, new AbortController().signal);
  return async (tick: number) => {
    const figures = [
      { id: "cpu-0", label: "CPU core 0", unit: "%", value: tick },
      { id: "memory-used", label: "Memory in use", unit: "bytes", value: tick * 1024 ** 3 },
      { id: "memory-total", label: "Memory", unit: "bytes", value: 64 * 1024 ** 3 },
      { id: "net-eth0-sent", label: "Sent on eth0", unit: "bytes/s", value: tick * 1000 },
    ];
    await publish(figures, new Date());
  };
}

/** Waits until a window shows the figures of a tick. */
async function untilTick({ page }: DemoWindow, tick: number) {
  await page
    .locator('[data-figure="cpu-0"] .figure-number', { hasText: tick.toFixed(1) })
    .waitFor();
}

async function valueOf(service: StreamService, group: typeof BOARD, itemId: string) {
  return (await service.get({ ...group, itemId }))?.data as Record<string, Json> | undefined;
}

describe("the demo page in Chromium", () => {
  it("shows the figures that npm run demo publishes, with plots, in every window", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 2);
    const [first] = windows;
    await first.page.getByText("Nobody publishes figures yet").waitFor();
    const demo = spawn(
      process.execPath,
      ["scripts/demo.mjs", "--once", "--port", String(server.port)],
      { cwd: PROJECT, stdio: "ignore" },
    );
    expect(await once(demo, "exit")).toEqual([0, null]);
    const { items } = await server.service.list({ ...FIGURES, pageSize: 1000 });
    // The card of the used memory also shows the total.
    const ids = items.map(({ itemId }) => itemId).filter((id) => id !== "memory-total");
    for (const { page, until } of windows) {
      await page.locator('[data-figure="memory-used"]').waitFor();
      const shown = await page
        .locator("[data-figure]")
        .evaluateAll((cards) => cards.map((card) => card.getAttribute("data-figure")));
      expect(shown).toEqual(ids);
      await page.getByText("Nobody publishes figures yet").waitFor({ state: "hidden" });
      await until(`(() => {
        const canvas = document.querySelector('[data-figure="cpu-0"] canvas');
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((part) => part > 0);
      })()`);
    }
    expectNoProblems(windows);
  });

  it("shows figures with units, and their minimum and maximum of two minutes", async (context) => {
    const server = await startServer();
    const publish = await publisherTo(server.url);
    await publish(30);
    const windows = await windowsOf(context, server.url, 1);
    const [{ page }] = windows;
    await untilTick(windows[0], 30);
    await publish(4);
    await publish(7.5);
    await untilTick(windows[0], 7.5);
    const texts = async (id: string) =>
      page
        .locator(`[data-figure="${id}"] span.figure-value, [data-figure="${id}"] .figure-range`)
        .allTextContents();
    expect(await texts("cpu-0")).toEqual(["7.5 %", "min 4.0 · max 30.0 %"]);
    expect(await texts("memory-used")).toEqual(["7.50 GiB of 64 GiB", "min 4 · max 30 GiB"]);
    expect(await texts("net-eth0-sent")).toEqual(["7.50 kB/s", "min 4 · max 30 kB/s"]);
  });

  it("shows a change made in one window in the other, and stores it", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 2);
    const [first, second] = windows;
    await first.page.getByLabel("Note").fill("written in the first window");
    await second.until(`document.getElementById("note").value === "written in the first window"`);
    // Both windows at once: the service increments, so no click is lost.
    const click = async ({ page }: DemoWindow) => {
      for (let clicks = 0; clicks < 5; clicks++)
        await page.getByRole("button", { name: "Count up" }).click();
    };
    await Promise.all(windows.map(click));
    for (const { page } of windows) {
      await page.locator("#count", { hasText: /^10$/ }).waitFor();
    }
    expect(await valueOf(server.service, BOARD, "note")).toMatchObject({
      text: "written in the first window",
    });
    expect(await valueOf(server.service, BOARD, "counter")).toEqual({ id: "counter", count: 10 });
    expectNoProblems(windows);
  });

  it("shows values of others as plain text, whatever they contain", async (context) => {
    const server = await startServer();
    const markup = '<img src="x" onerror="window.hacked = true">';
    const odd = await openClient(server.url, { path: "/" });
    await joinWith(odd, LOBBY, { id: 1, name: [] });
    const other = await openClient(server.url, { path: "/" });
    await joinWith(other, LOBBY, { id: markup, name: markup, color: "red;background:url(/x)" });
    await server.service.set({
      ...FIGURES,
      itemId: markup,
      data: { id: markup, label: markup, unit: markup, value: 3 },
    });
    await server.service.set({ ...FIGURES, itemId: "odd", data: "no figure" });
    await server.service.set({ ...BOARD, itemId: "note", data: { text: { deep: markup } } });
    await server.service.set({ ...BOARD, itemId: "counter", data: { count: markup } });
    const windows = await windowsOf(context, server.url, 1);
    const [{ page }] = windows;
    await page.locator(".person", { hasText: "<img src" }).waitFor();
    await page.locator(".figure-label", { hasText: markup }).waitFor();
    await server.service.send({
      ...LOBBY,
      type: "cursor",
      data: { id: markup, x: 0.5, y: -1e300 },
    });
    await page.locator(".cursor-name", { hasText: "<img src" }).waitFor();
    expect(await page.locator("main img").count()).toBe(0);
    expect(await page.locator("[data-figure]").count()).toBe(1);
    expect(await page.locator("#count").textContent()).toBe("0");
    expect(await page.evaluate("window.hacked")).toBeUndefined();
    expectNoProblems(windows);
  });

  it("resumes without loss or flicker when the service is killed and restarted (G4, G6)", async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-browser-"));
    onTestFinished(async () => rm(folder, { recursive: true, force: true }));
    const options = { port: await freePort(), store: { kind: "file_based", folder } } as const;
    let child = await startChild(options);
    onTestFinished(async () => child.kill());
    const publish = await publisherTo(child.url);
    await publish(1);
    const windows = await windowsOf(context, child.url, 2);
    const [first, second] = windows;
    await first.page.getByLabel("Note").fill("before");
    await first.page.getByRole("button", { name: "Count up" }).click();
    await second.page.locator("#count", { hasText: /^1$/ }).waitFor();
    await second.until(`document.getElementById("note").value === "before"`);
    for (const window of windows) {
      await untilTick(window, 1);
      await window.until(`document.querySelectorAll(".person").length === 2`);
      await window.resetWatch();
    }
    const before = await Promise.all(windows.map(async (window) => window.progress()));

    await publish(2);
    await child.kill();
    for (const { page } of windows) {
      await page.getByText("Reconnecting").waitFor();
      // The known state stays visible.
      expect(await page.locator("[data-figure]").count()).toBe(3);
      expect(await page.locator(".person").count()).toBe(2);
      expect(await page.locator("#count").textContent()).toBe("1");
    }
    await first.page.getByLabel("Note").fill("written while it was down");
    await first.page.getByText("Not saved yet").waitFor();

    child = await startChild(options);
    await publish(3);
    for (const window of windows) {
      await window.untilLive();
      await untilTick(window, 3);
    }
    await second.until(`document.getElementById("note").value === "written while it was down"`);

    for (const [index, window] of windows.entries()) {
      const { stats, positions, changes } = await window.progress();
      const then = before[index] ?? (await window.progress());
      // Presence begins a new epoch with the service; the other groups resume.
      expect(stats).toMatchObject({ syncs: 5, holes: 0, repeats: 0, silences: 0 });
      expect(stats.resumes).toBeGreaterThanOrEqual(3);
      // Every change since then was received, once.
      const grown = Object.entries(positions).map(([name, { epoch, revision }]) => {
        expect(epoch).toBe(then.positions[name]?.epoch);
        return revision - (then.positions[name]?.revision ?? 0);
      });
      const received = Object.entries(changes).map(
        ([name, count]) => count - (then.changes[name] ?? 0),
      );
      expect(received).toEqual(grown);
      // Three ticks of four figures.
      expect(positions["figures"]?.revision).toBe(12);
      expect(await window.watched()).toEqual({ figures: 3, people: 2, saidEmpty: false });
      expect(await window.page.locator("#count").textContent()).toBe("1");
      await window.page.getByText("min 1.0 · max 3.0 %").waitFor();
    }
    expectNoProblems(windows);
  });

  it("resumes after being offline, without effect on the other window (G4)", async (context) => {
    const server = await startServer();
    const publish = await publisherTo(server.url);
    await publish(1);
    const windows = await windowsOf(context, server.url, 2);
    const [first, second] = windows;
    await Promise.all(windows.map(async (window) => untilTick(window, 1)));
    await first.page.context().setOffline(true);
    await first.page.getByText("Reconnecting").waitFor();
    await first.resetWatch();
    for (const tick of [2, 9, 3]) await publish(tick);
    await untilTick(second, 3);
    expect(await first.page.locator('[data-figure="cpu-0"] .figure-number').textContent()).toBe(
      "1.0",
    );
    await first.page.context().setOffline(false);
    await first.untilLive();
    await untilTick(first, 3);
    // The plot includes the values replaced meanwhile.
    await first.page.getByText("min 1.0 · max 9.0 %").waitFor();
    expect(await first.stats()).toMatchObject({ opened: 2, syncs: 4, resumes: 4, holes: 0 });
    expect(await first.watched()).toMatchObject({ figures: 3, saidEmpty: false });
    expect(await second.stats()).toMatchObject({ opened: 1, syncs: 4, resumes: 0 });
    expectNoProblems(windows);
  });

  it("resumes after a reload as the same person, with its plots (G4)", async (context) => {
    const server = await startServer();
    const publish = await publisherTo(server.url);
    await publish(1);
    const windows = await windowsOf(context, server.url, 1);
    const [window] = windows;
    await untilTick(window, 1);
    await publish(8);
    await publish(2);
    await untilTick(window, 2);
    await window.reload();
    await window.untilLive();
    await window.page.getByText("min 1.0 · max 8.0 %").waitFor();
    // Who is here is asked anew.
    expect(await window.stats()).toMatchObject({ opened: 1, syncs: 2, resumes: 2, holes: 0 });
    expect(await window.page.evaluate("millraceDemo.self")).toBe(window.id);
    expect(await window.watched()).toEqual({ figures: 3, people: 1, saidEmpty: false });
    await window.page.locator("#people li").waitFor();
    expect(await window.page.locator("#people li").count()).toBe(1);
    expectNoProblems(windows);
  });

  it("keeps unsaved text over a reload while the service is unreachable", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 2);
    const [first, second] = windows;
    // Blocks only the stream's connection; the page itself still loads.
    await first.page.context().routeWebSocket(/./, (socket) => void socket.close());
    await first.reload();
    await first.page.getByLabel("Note").fill("typed in the dark");
    await first.page.getByText("Not saved yet").waitFor();
    await first.reload();
    expect(await first.page.getByLabel("Note").inputValue()).toBe("typed in the dark");
    await first.page.context().unrouteAll();
    await first.page.context().routeWebSocket(/./, (socket) => void socket.connectToServer());
    await first.reload();
    await second.until(`document.getElementById("note").value === "typed in the dark"`);
    expectNoProblems(windows);
  });

  it("drops a silent connection, and resumes on a new one (G5)", async (context) => {
    const server = await startServer();
    const windows = await windowsOf(context, server.url, 1);
    const [window] = windows;
    await window.page.clock.install();
    await window.page.reload();
    await window.untilLive();
    await window.page.clock.fastForward(30_000);
    await window.until("millraceDemo.stats.silences === 1");
    await window.untilLive();
    expect(await window.stats()).toMatchObject({ opened: 2, silences: 1, holes: 0 });
    expectNoProblems(windows);
  });

  it("is read-only when pages are not trusted, and shows why", async (context) => {
    const server = await startServer({ apiTokens: ["secret"] });
    const windows = await windowsOf(context, server.url, 1);
    const [{ page }] = windows;
    await page.getByRole("alert").getByText("can watch, but not write").waitFor();
    await server.service.set({ ...BOARD, itemId: "note", data: { id: "note", text: "from afar" } });
    await windows[0].until(`document.getElementById("note").value === "from afar"`);
    expect(await page.getByLabel("Note").isEditable()).toBe(false);
    expect(await page.getByRole("button", { name: "Count up" }).count()).toBe(0);
  });
});
