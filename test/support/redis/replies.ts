import { setTimeout as sleep } from "node:timers/promises";
import type { RedisProcess } from "./redis-server.ts";

const TIMEOUT_MS = 15_000;
const POLL_MS = 25;

type Command = readonly [string, ...(string | number)[]];

/** The reply to a command, as text; the elements of a list one per line. */
export async function replied(server: RedisProcess, [name, ...args]: Command): Promise<string> {
  const reply = await server.command(name, ...args);
  return Array.isArray(reply) ? reply.flat(Infinity).join("\n") : String(reply);
}

/** Waits until all servers reply as expected. Rejects with the last reply. */
export async function untilReplied(
  servers: readonly RedisProcess[],
  command: Command,
  isWanted: (reply: string) => boolean,
): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  for (const server of servers) {
    for (;;) {
      const reply = await replied(server, command);
      if (isWanted(reply)) break;
      if (performance.now() > deadline) {
        throw new Error(`${server.url} still replies to ${command.join(" ")}:\n${reply}`);
      }
      await sleep(POLL_MS);
    }
  }
}
