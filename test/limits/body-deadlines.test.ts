import { once } from "node:events";
import { type IncomingHttpHeaders, connect } from "node:http2";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { BODY_TIMEOUT_MS, BodyDeadlines } from "../../src/limits/body-deadlines.ts";
import { startFastPathServer } from "../support/doors/fast-path-server.ts";

describe("body deadlines", () => {
  afterEach(() => {
    vi.useRealTimers();
  });
  const setUp = () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    const late: string[] = [];
    const deadlines = new BodyDeadlines(30_000);
    const body = (name: string) => ({ late: () => void late.push(name) });
    return { deadlines, late, body };
  };

  it("report each overdue body once, the oldest first", () => {
    const { deadlines, late, body } = setUp();
    deadlines.begin(body("first"));
    vi.advanceTimersByTime(400);
    deadlines.begin(body("second"));
    vi.advanceTimersByTime(29_500);
    expect(late).toEqual([]);
    vi.advanceTimersByTime(1600);
    expect(late).toEqual(["first", "second"]);
    vi.advanceTimersByTime(60_000);
    expect(late).toEqual(["first", "second"]);
  });

  it("ignore bodies that arrive in time, and keep no timer for them", () => {
    const { deadlines, late, body } = setUp();
    const whole = body("whole");
    deadlines.begin(whole);
    vi.advanceTimersByTime(29_000);
    deadlines.end(whole);
    vi.advanceTimersByTime(10_000);
    expect(late).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    deadlines.begin(body("after"));
    vi.advanceTimersByTime(31_000);
    expect(late).toEqual(["after"]);
  });

  it("stay in force for later bodies when one is overdue", () => {
    const { deadlines, late, body } = setUp();
    deadlines.begin(body("early"));
    vi.advanceTimersByTime(20_000);
    deadlines.begin(body("later"));
    vi.advanceTimersByTime(11_000);
    expect(late).toEqual(["early"]);
    vi.advanceTimersByTime(20_000);
    expect(late).toEqual(["early", "later"]);
  });

  it("end a call whose body never arrives completely", async () => {
    const server = await startFastPathServer();
    onTestFinished(() => server.close());
    const session = connect(server.url);
    onTestFinished(() => session.destroy());
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    const stream = session.request({
      ":method": "POST",
      ":path": "/millrace.v1.StreamService/Set",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.resume();
    stream.write(Buffer.from([0, 0, 0]));
    // The one timer runs once the server has the call.
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(BODY_TIMEOUT_MS - 1000);
    expect(vi.getTimerCount()).toBe(1);
    const trailers = once(stream, "trailers");
    vi.advanceTimersByTime(2000);
    const [received] = (await trailers) as [IncomingHttpHeaders];
    expect(received["grpc-status"]).toBe("3");
    expect(String(received["grpc-message"])).toContain("did not arrive completely");
  });
});
