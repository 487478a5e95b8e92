import type { AuthRequest } from "../../src/core/auth.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type Calls, newCalls } from "../support/gates/calls.ts";
import {
  type GatedServer,
  type JoinPayload,
  asLeave,
  openGatedServer,
} from "../support/gates/gated-server.ts";
import { type Line, connect } from "./line.ts";
import { first, of, send } from "./notices.ts";

/** How long the sessions of a scene wait that are to end soon, in milliseconds. */
export const TIMEOUT_MS = 300;

/** A server with join listeners. */
export interface Scene {
  readonly gated: GatedServer;
  /** Calls of the join listener. */
  readonly notified: Calls<JoinPayload>;
}

/** Opens a server, whose sessions wait for long by default. The caller closes it. */
export async function openScene(presenceTimeoutMs?: number): Promise<Scene> {
  const notified = newCalls<JoinPayload>();
  const gated = await openGatedServer({
    presenceTimeoutMs,
    auth: { local: true, keys: [{ name: "backend", key: "k".repeat(32) }] },
    authFunction: "auth",
    async setup(service) {
      await service.registerFunction("auth", ({ headers }: AuthRequest) => {
        const user = headers["user"];
        return user === undefined ? { context: headers["context"] ?? "" } : { user };
      });
      await service.registerFunction("listener", (payload: JoinPayload) =>
        notified.record(asLeave(payload)),
      );
      const config = { gate: false };
      await service.registerTrigger({ type: "stream:join", function_id: "listener", config });
    },
  });
  return { gated, notified };
}

export const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });
export type Group = ReturnType<typeof newGroup>;

/** A socket that has said hello. */
export interface Greeted {
  readonly line: Line;
  readonly session: string;
  readonly resumed: boolean;
  readonly connectionId: string;
}

export async function greet(
  { gated: { url } }: Scene,
  session?: string,
  headers: Record<string, string> = { user: "ann" },
): Promise<Greeted> {
  const line = await connect(url, "/", { headers });
  send(line, "hello", { version: 2, session });
  const { data } = await first(line, "welcome");
  const { resumed, connectionId } = data as unknown as Greeted;
  return { line, session: data["session"] as string, resumed, connectionId };
}

/** Joins a group. Resolves when its sync has come. */
export async function join({ line }: Greeted, group: Group, subscriptionId = "s", id?: string) {
  const before = of(line.frames, "sync").length;
  line.join({ ...group, subscriptionId, ...(id === undefined ? {} : { id }) });
  await line.until("a sync", (all) => of(all, "sync").length > before);
}

/** Cuts a connection, as a network does. */
export function cut({ line }: Greeted): void {
  line.socket.terminate();
}

/** The leaves of a group up to now. */
export async function leavesOf({ gated }: Scene, { groupId }: Group): Promise<number> {
  return (await gated.leavesSoFar()).filter((each) => each.group_id === groupId).length;
}
export async function left({ gated: { leaves } }: Scene, { groupId }: Group, count = 1) {
  const isOf = (each: JoinPayload) => each.group_id === groupId;
  const all = await leaves.until("leaves", (each) => each.filter(isOf).length >= count);
  return all.filter(isOf);
}
export function joinsOf({ notified }: Scene, { groupId }: Group): number {
  return notified.all.filter((each) => each.group_id === groupId).length;
}
/** Resolves when the timeout of sessions has passed, and a bit. */
export const passTimeout = async () =>
  new Promise((resolve) => setTimeout(resolve, 2 * TIMEOUT_MS));
