import type { Problem, Registration, StreamService } from "millrace";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import type { DoorTarget } from "../doors/door.ts";
import { uniqueName } from "../doors/unique.ts";
import { type Calls, newCalls } from "./calls.ts";

/** The payload of join and leave functions. */
export interface JoinPayload {
  readonly subscription_id: string;
  readonly stream_name: string;
  readonly group_id: string;
  readonly id: string | null;
  readonly user: string | null;
  readonly context: unknown;
  readonly connection_id: string;
}

/** The leave payload that belongs to a join. @throws Error when its action is wrong. */
export function asLeave({
  action,
  ...joined
}: JoinPayload & { readonly action?: string }): JoinPayload {
  if (action !== "subscribe") throw new Error(`The action is ${action}.`);
  return joined;
}

/** A server with a gate, and records of its joins and leaves. */
export interface GatedServer extends DoorTarget {
  readonly server: Server;
  /** The registration of the gate. */
  readonly gate: Registration;
  /** The gate's decision about a join. Initially it allows all. */
  decide: (joined: JoinPayload) => unknown;
  /** Calls of the gate. */
  readonly joins: Calls<JoinPayload>;
  /** Calls of the leave trigger. */
  readonly leaves: Calls<JoinPayload>;
  /** Problems reported to the operator. */
  readonly problems: readonly Problem[];
  /**
   * All leaves received up to now. Ends a subscription of its own and waits for its leave: earlier
   * leaves have arrived by then.
   */
  leavesSoFar(): Promise<readonly JoinPayload[]>;
}

/**
 * Stream of uncounted barrier subscriptions, and path of their caller: every gate must allow them.
 */
export const BARRIER_STREAM = "barriers";

/** Opens a server with a gate and a leave trigger. The caller closes it. */
export async function openGatedServer({
  setup,
  ...options
}: ServerOptions = {}): Promise<GatedServer> {
  const joins = newCalls<JoinPayload>();
  const leaves = newCalls<JoinPayload>();
  const problems: Problem[] = [];
  const isCounted = ({ stream_name: streamName }: JoinPayload) => streamName !== BARRIER_STREAM;
  const barriers = newCalls<string>();
  let gate: Registration | undefined;
  const server = await createServer({
    port: 0,
    store: { kind: "in_memory" },
    onFailure: () => {},
    onProblem: (problem) => problems.push(problem),
    ...options,
    async setup(service) {
      await service.registerFunction("gate", (payload: JoinPayload) => {
        const joined = asLeave(payload);
        if (!isCounted(joined)) return undefined;
        joins.record(joined);
        return gated.decide(joined);
      });
      await service.registerFunction("leaves", (left: JoinPayload) => {
        if (isCounted(left)) leaves.record(left);
        else barriers.record(left.group_id);
      });
      gate = await service.registerTrigger({ type: "stream:join", function_id: "gate" });
      await service.registerTrigger({ type: "stream:leave", function_id: "leaves" });
      await setup?.(service);
    },
  });
  if (gate === undefined) throw new Error("The server did not call setup.");
  const gated: GatedServer = {
    server,
    gate,
    url: server.url,
    service: server.service,
    decide: () => undefined,
    joins,
    leaves,
    problems,
    async leavesSoFar() {
      const groupId = uniqueName("barrier");
      const auth = { path: BARRIER_STREAM };
      await visit(server.service, { streamName: BARRIER_STREAM, groupId, auth });
      await barriers.until(`the leave of ${groupId}`, (all) => all.includes(groupId));
      return [...leaves.all];
    },
  };
  return gated;
}

/** Subscribes to a group, and cancels as soon as it is admitted. */
export async function visit(
  service: StreamService,
  group: Parameters<StreamService["subscribe"]>[0],
): Promise<void> {
  const frames = await service.subscribe(group);
  await frames.next();
  await frames.return?.();
}
