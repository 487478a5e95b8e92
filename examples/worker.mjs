// A worker: functions in a separate process. Run it beside `npm start`: node examples/worker.mjs
import { registerWorker } from "millrace/worker";

const worker = registerWorker("http://127.0.0.1:3112", { workerName: "example" });

await worker.registerFunction("chat::greet", async ({ streamName, groupId, id, event }) => {
  if (event.type !== "create" || event.data.text !== "hello") return;
  console.log(`greeting ${id} in ${groupId}`);
  await worker.trigger({
    function_id: "stream::set",
    payload: {
      stream_name: streamName,
      group_id: groupId,
      item_id: `re-${id}`,
      data: { text: "hello to you" },
    },
  });
});
await worker.registerTrigger({
  type: "stream",
  function_id: "chat::greet",
  config: { stream_name: "chat" },
});

await worker.trigger({
  function_id: "stream::set",
  payload: {
    stream_name: "chat",
    group_id: "lobby",
    item_id: `w-${Date.now()}`,
    data: { text: "hello" },
  },
});
process.once("SIGTERM", () => void worker.shutdown());
process.once("SIGINT", () => void worker.shutdown());
