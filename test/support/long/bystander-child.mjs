// A well-behaved client: a Set and a Get every 50 ms over a separate connection. It is forked with
// the URL of the server as argv[2] and the id of its process as argv[3], and replies to each
// message with its observations since the previous one: `{ calls, failed, longestMs,
// longestWallMs, lagMs }`.
//
// `longestWallMs` is the longest call by the clock. `longestMs` excludes the time in which this
// process (`lagMs`: the longest pause) or the server's main thread was ready, but other programs
// used the processors.
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

process.on("disconnect", () => process.exit(1));

const INTERVAL_MS = 50;
const TICK_MS = 5;
const session = connect(process.argv[2] ?? "");
const pid = process.argv[3];
/** Total time in which the server's main thread was ready but did not run, in milliseconds. */
const queuedMs = () =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
const fresh = () => ({ calls: 0, failed: 0, longestMs: 0, longestWallMs: 0, lagMs: 0 });
let seen = fresh();
/** Total time in which this process did not run, in milliseconds. */
let stoppedMs = 0;

let lastTick = performance.now();
setInterval(() => {
  const now = performance.now();
  const lag = Math.max(0, now - lastTick - 2 * TICK_MS);
  lastTick = now;
  stoppedMs += lag;
  seen.lagMs = Math.max(seen.lagMs, Math.round(lag));
}, TICK_MS);

/**
 * @param {string} method
 * @param {object} request
 */
function call(method, request) {
  const started = performance.now();
  const stoppedBefore = stoppedMs;
  const queuedBefore = queuedMs();
  const stream = session.request({
    ":method": "POST",
    ":path": `/millrace.v1.StreamService/${method}`,
    "content-type": "application/json",
  });
  let status = 0;
  stream.on("response", (headers) => (status = headers[":status"] ?? 0));
  stream.on("error", () => {});
  stream.on("close", () => {
    const wallMs = performance.now() - started;
    const waited = wallMs - (stoppedMs - stoppedBefore) - (queuedMs() - queuedBefore);
    seen.calls++;
    if (status !== 200) seen.failed++;
    seen.longestMs = Math.max(seen.longestMs, Math.round(waited));
    seen.longestWallMs = Math.max(seen.longestWallMs, Math.round(wallMs));
  });
  stream.resume();
  stream.end(JSON.stringify(request));
}

const item = { streamName: "bystander", groupId: "g", itemId: "i" };
setInterval(() => {
  call("Set", { ...item, data: { at: Date.now() } });
  call("Get", item);
}, INTERVAL_MS);

process.on("message", () => {
  process.send?.(seen);
  seen = fresh();
});
