import { WaitingCalls } from "../../src/bridge/call-order.ts";
import { DEFAULT_BRIDGE_LIMITS } from "../../src/bridge/limits.ts";
import { createSessions } from "../../src/bridge/sessions.ts";
import { BridgeSession } from "../../src/bridge/session.ts";
import { createLocalSessions } from "../../src/coordinators/local/local-sessions.ts";
import type { Sessions } from "../../src/core/coordinator.ts";
import { DEFAULT_CALLER_LIMITS } from "../../src/limits/caller-limits.ts";
import { TokenBucket } from "../../src/limits/token-bucket.ts";
import { LOCAL } from "../../src/rights/caller.ts";
import type { Engine } from "../../src/service/engine.ts";
import type { Handlers } from "../../src/service/handlers.ts";
import { Moments } from "../../src/timers/moments.ts";
import type { Frame } from "./line.ts";
import { serverFrames } from "./raw-line.ts";

/** The limits of sessions that tests open. */
export const LIMITS = { ...DEFAULT_BRIDGE_LIMITS, maxSyncBytes: 10_000, maxFrameBurst: 50 };

/** Opens a session whose socket takes frames or stalls, as the test demands. */
export function openSession(
  engine: Engine,
  handlers: Handlers = engine.handlers,
  agreed: Sessions = createLocalSessions(),
) {
  const frames: Frame[] = [];
  const waiting: { readonly bytes: number; readonly taken: () => void }[] = [];
  let bufferedBytes = 0;
  let isTaking = true;
  let closedWith: number | undefined;
  const take = () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      bufferedBytes -= next.bytes;
      next.taken();
    }
  };
  const session = new BridgeSession(
    {
      handlers,
      limits: LIMITS,
      require: engine.require,
      renew: () => Promise.reject(new Error("unexpected")),
      deadlines: new Moments(),
      sessions: createSessions(
        { ...engine.sessions, agreed },
        LIMITS.maxSubscriptions,
        new WaitingCalls(),
      ),
      continued: (caller) => caller,
      calls: { methods: new Map(), memory: engine.memory, waiting: new WaitingCalls() },
    },
    {
      address: "",
      compression: undefined,
      admitFrame: () => true,
      callThrottle: () => undefined,
      onHello: () => {},
      pingOften: () => {},
      pause: () => {},
      resume: () => {},
      cut: () => (closedWith = 4430),
      get bufferedBytes() {
        return bufferedBytes;
      },
      send(sent, taken) {
        for (const { payload } of serverFrames(sent))
          frames.push(JSON.parse(payload.toString()) as Frame);
        const bytes = sent.byteLength;
        bufferedBytes += bytes;
        waiting.push({ bytes, taken });
        if (isTaking) setImmediate(take);
      },
      close: (code) => (closedWith = code),
    },
    new TokenBucket(DEFAULT_CALLER_LIMITS.subscriptions, performance.now()),
    { ...LOCAL, connection: { connectionId: "c1" } },
  );
  return {
    session,
    frames,
    get closedWith() {
      return closedWith;
    },
    get bufferedBytes() {
      return bufferedBytes;
    },
    stall: () => (isTaking = false),
    flow() {
      isTaking = true;
      take();
    },
    join: (subscriptionId: string, groupId: string, id?: string) =>
      session.receive(
        JSON.stringify({ type: "join", data: { subscriptionId, streamName: "s", groupId, id } }),
      ),
    leave: (subscriptionId: string) =>
      session.receive(JSON.stringify({ type: "leave", data: { subscriptionId } })),
  };
}
