import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { createServer } from "millrace/server";
import { BodyBudget } from "../../src/limits/body-budget.ts";
import { BODY_TIMEOUT_MS } from "../../src/limits/body-deadlines.ts";
import { PartialFrames } from "../../src/limits/partial-frames.ts";
import { connect } from "../bridge/line.ts";
import { OPCODE, clientFrame, connectRaw } from "../bridge/raw-line.ts";

const KIB = 1024;
/** Most bytes that a compressed message inflates to. */
const INFLATED_BYTES = 5 * KIB;

describe("incomplete WebSocket messages", () => {
  const setUp = (maxBytes?: number) => {
    const budget = new BodyBudget(maxBytes);
    const closes: number[] = [];
    const frames = new PartialFrames<object>(
      () => budget,
      (_socket, code) => closes.push(code),
      () => INFLATED_BYTES,
    );
    const socket = {};
    const receive = (bytes: Uint8Array, of = socket) => frames.receive(of, bytes);
    return { budget, frames, closes, socket, receive };
  };

  it.each([0, 1, 125, 126, 200, 65_535, 65_536, 100_000])(
    "cost nothing once they are complete: %d bytes, cut anywhere in the header",
    (size) => {
      const { budget, receive } = setUp();
      const frame = clientFrame(OPCODE.text, Buffer.alloc(size, "x"));
      receive(Buffer.concat([frame, frame]));
      expect(budget.heldBytes).toBe(0);
      for (let cut = 1; cut < Math.min(frame.length, 20); cut++) {
        receive(frame.subarray(0, cut));
        expect(budget.heldBytes).toBe(cut + 256);
        receive(frame.subarray(cut));
        expect(budget.heldBytes).toBe(0);
      }
    },
  );

  it("include those in several frames with pings between them", () => {
    const { budget, receive } = setUp();
    const ping = clientFrame(OPCODE.ping, Buffer.from("p"));
    receive(ping);
    expect(budget.heldBytes).toBe(0);
    receive(clientFrame(OPCODE.text, Buffer.alloc(1000), false));
    const held = budget.heldBytes;
    expect(held).toBeGreaterThan(1000);
    receive(ping);
    receive(clientFrame(OPCODE.continuation, Buffer.alloc(1000), false));
    expect(budget.heldBytes).toBeGreaterThan(held + 1000);
    receive(clientFrame(OPCODE.continuation, Buffer.alloc(0)));
    expect(budget.heldBytes).toBe(0);
  });

  it("count at their largest inflated size while they are compressed and in several frames", () => {
    const { budget, receive } = setUp();
    const compressed = (frame: Buffer) => {
      frame[0] = (frame[0] ?? 0) | 0x40;
      return frame;
    };
    const begin = compressed(clientFrame(OPCODE.text, Buffer.alloc(10), false));
    const next = clientFrame(OPCODE.continuation, Buffer.alloc(10), false);
    // The service inflates a whole one at once, when it has arrived.
    const whole = compressed(clientFrame(OPCODE.text, Buffer.alloc(100)));
    receive(whole.subarray(0, 50));
    expect(budget.heldBytes).toBe(50 + 256);
    receive(Buffer.concat([whole.subarray(50), begin.subarray(0, 1)]));
    expect(budget.heldBytes).toBeLessThan(KIB);
    receive(begin.subarray(1));
    const held = budget.heldBytes;
    expect(held).toBeGreaterThan(INFLATED_BYTES);
    receive(next);
    expect(budget.heldBytes).toBe(held + next.length + 256);
    receive(clientFrame(OPCODE.continuation, Buffer.alloc(0)));
    expect(budget.heldBytes).toBe(0);
  });

  it("close their socket with 1013 when the budget has no room, and then cost nothing", () => {
    const { budget, closes, receive } = setUp(10 * KIB);
    const half = clientFrame(OPCODE.text, Buffer.alloc(8 * KIB)).subarray(0, 6 * KIB);
    receive(half);
    expect(closes).toEqual([]);
    receive(half, {});
    expect(closes).toEqual([1013]);
    expect(budget.heldBytes).toBe(6 * KIB + 256);
  });

  it("cost nothing once their socket is gone", () => {
    const { budget, frames, socket, receive } = setUp();
    receive(Buffer.from([0x81]));
    frames.forget(socket);
    frames.forget(socket);
    expect(budget.heldBytes).toBe(0);
  });

  describe("that take too long", () => {
    afterEach(() => {
      vi.useRealTimers();
    });

    it("close their socket with 4408 after 30 s, even while bytes trickle in", () => {
      vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
      const { budget, closes, receive } = setUp();
      receive(clientFrame(OPCODE.text, Buffer.alloc(100)).subarray(0, 10));
      for (let second = 0; second < BODY_TIMEOUT_MS / 1000 - 1; second++) {
        vi.advanceTimersByTime(1000);
        receive(Buffer.from("x"));
      }
      expect(closes).toEqual([]);
      vi.advanceTimersByTime(2000);
      expect(closes).toEqual([4408]);
      expect(budget.heldBytes).toBe(0);
      vi.advanceTimersByTime(1000);
      expect(vi.getTimerCount()).toBe(0);
    });

    it.each(["/", "/worker"])("close a socket at %s with 4408 after 30 s", async (path) => {
      const server = await createServer({
        port: 0,
        store: { kind: "in_memory" },
        // Neither pings nor silence end the socket earlier.
        bridge: { pingIntervalMs: 10_000_000 },
        workerLimits: { silenceMs: 10_000_000 },
      });
      onTestFinished(() => server.close());
      vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
      const before = vi.getTimerCount();
      const line = await connectRaw(server.port, path);
      const opened = vi.getTimerCount();
      line.socket.write(clientFrame(OPCODE.text, Buffer.from('{"type":"hello"}')).subarray(0, 9));
      while (vi.getTimerCount() === opened) await new Promise((resolve) => setImmediate(resolve));
      expect(before).toBe(0);
      vi.advanceTimersByTime(BODY_TIMEOUT_MS + 1000);
      expect(await line.closed).toBe(4408);
    });
  });

  it("count inflated, and close sockets beyond the budget with 1013", async () => {
    // Untrusted callers have a quarter of it: two messages of 64 KiB, but for the headers.
    const maxBodyBytesInFlight = 512 * KIB;
    const server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      maxBodyBytesInFlight,
    });
    onTestFinished(() => server.close());
    const open = async () =>
      connect(server.url, "/?compress=deltas", { perMessageDeflate: { threshold: 0 } });
    const lines = [await open(), await open()];
    for (const { socket } of lines) socket.send(" ".repeat(30 * KIB), { fin: false });
    expect(await Promise.race(lines.map(async ({ closed }) => closed))).toBe(1013);
  });

  // Untrusted callers have a quarter of the budget.
  it.each([
    ["/", 192 * KIB],
    ["/worker", 64 * KIB],
  ])(
    "count against the budget at %s, and close sockets beyond it with 1013",
    async (path, maxBodyBytesInFlight) => {
      const server = await createServer({
        port: 0,
        store: { kind: "in_memory" },
        maxBodyBytesInFlight,
      });
      onTestFinished(() => server.close());
      const frame = clientFrame(OPCODE.text, Buffer.alloc(40 * KIB, " "));
      const half = frame.subarray(0, 30 * KIB);
      const lines = [await connectRaw(server.port, path), await connectRaw(server.port, path)];
      for (const line of lines) line.socket.write(half);
      expect(await Promise.race(lines.map(async ({ closed }) => closed))).toBe(1013);
      for (const line of lines) line.socket.destroy();
      // Then there is room again: the frame is accepted, and an invalid one after it ends the
      // socket.
      const sendAll = async () => {
        const line = await connectRaw(server.port, path);
        line.socket.write(half);
        line.socket.write(frame.subarray(half.length));
        line.socket.write(clientFrame(3, Buffer.from("{}")));
        return line.closed;
      };
      await expect.poll(sendAll).toBe(1002);
    },
  );
});
