// A worker: over gRPC with the SDK of this project, or over a WebSocket with the SDK of iii.
// argv[2]: { url, door, file }. Its function "work" returns its payload after a short delay; "log"
// writes group and revision of each change of the stream "long" to the file. Prints "ready" when
// both are in force.
import { appendFileSync } from "node:fs";
import { registerWorker as registerIii } from "iii-sdk";
import { registerWorker } from "../../../dist/src/worker-sdk/index.js";

const { url, door, file } = JSON.parse(process.argv[2] ?? "{}");
// Silences the SDK's connection log: the test kills this process and drops its connections.
console.debug = () => {};
console.error = () => {};

/** @param {{ n: number }} payload */
const work = async ({ n }) => {
  await new Promise((resolve) => setTimeout(resolve, 2 * (n % 3)));
  return n;
};
/** @param {{ groupId: string, revision: number }} payload */
const log = async ({ groupId, revision }) => {
  await new Promise((resolve) => setTimeout(resolve, revision % 3));
  appendFileSync(file, `${groupId} ${revision}\n`);
};
const trigger = { type: "stream", function_id: "log", config: { stream_name: "long" } };

if (door === "iii") {
  const worker = registerIii(`${url.replace("http", "ws")}/worker`, {
    workerName: "child",
    otel: { enabled: false },
    enableMetricsReporting: false,
  });
  worker.registerFunction("work", work);
  worker.registerFunction("log", log);
  worker.registerTrigger(trigger);
  // Frames take effect in order: the response to this call comes after them.
  await worker.trigger({ function_id: "stream::list_all", payload: {} });
} else {
  const worker = registerWorker(url, { workerName: "child", reconnect: { initialMs: 50 } });
  await worker.registerFunction("work", work);
  await worker.registerFunction("log", log);
  await worker.registerTrigger(trigger);
}
process.stdout.write("ready\n");
