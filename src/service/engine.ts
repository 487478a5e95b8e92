import type { StreamError } from "../core/errors.ts";
import { checkGroup, checkName } from "../core/names.ts";
import type { Store } from "../core/store.ts";
import { DEFAULT_QUEUE_LIMITS, type QueueLimits } from "../live/frame-queue.ts";
import { Hub } from "../live/hub.ts";
import { interestIn } from "../live/interest.ts";
import { SharedSubscription } from "../live/shared-subscription.ts";
import { checkPosition } from "./checks.ts";
import { guarded, shuttingDown } from "./guarded.ts";
import type { Handlers } from "./handlers.ts";
import { createReads } from "./reads.ts";
import { createWrites } from "./writes.ts";

export type { QueueLimits };

/** Times and bounds of the service. Every one has a default. */
export interface EngineOptions {
  /** Longest silence of a subscription before it gets a heartbeat, in milliseconds. Default 15,000. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** How long a subscriber may take nothing before its subscription ends, in milliseconds. Default 60,000. */
  readonly stallTimeoutMs?: number | undefined;
  /** What one subscription may hold beyond the transport's buffers. Default 1 MiB or 1,000 frames. */
  readonly subscriberQueue?: Partial<QueueLimits> | undefined;
  /** Told of failures that are the service's own, with the cause that callers are not shown. */
  readonly onFailure?: ((error: StreamError, call: string) => void) | undefined;
  /** Clock of heartbeats and timeouts, in milliseconds; it never goes back. Default: time since the process began. */
  readonly now?: (() => number) | undefined;
}

/** The service without a door. */
export interface Engine {
  readonly handlers: Handlers;
  /** The port behind it. */
  readonly store: Store;
  /** Whether close() was called. */
  readonly closing: boolean;
  /** Ends every subscription with UNAVAILABLE / SHUTTING_DOWN and refuses new calls. Idempotent. */
  drain(): void;
  /** Drains, then flushes and closes the store. Idempotent. */
  close(): Promise<void>;
}

/** Builds the service over a store, which it owns from now on. */
export function createEngine(store: Store, options: EngineOptions = {}): Engine {
  const heartbeatIntervalMs = options.heartbeatIntervalMs ?? 15_000;
  const now = options.now ?? (() => performance.now());
  const hub = new Hub({
    store,
    now,
    heartbeatIntervalMs,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    queueLimits: { ...DEFAULT_QUEUE_LIMITS, ...options.subscriberQueue },
  });
  // Often enough that a heartbeat comes at most a fifth of its interval late.
  const timer = setInterval(
    () => void hub.tick(),
    Math.min(1000, Math.max(10, heartbeatIntervalMs / 5)),
  );
  timer.unref();

  let closed: Promise<void> | undefined;
  let closing = false;
  const drain = () => {
    closing = true;
    clearInterval(timer);
    hub.close(shuttingDown());
  };
  const handlers: Handlers = {
    ...createReads(store),
    ...createWrites(store),
    share(request) {
      const group = checkGroup(request);
      return new SharedSubscription({
        subscribe: (interest, resumeFrom) => hub.follow({ group, interest, resumeFrom }),
        now,
      });
    },
    async subscribe(request) {
      const group = checkGroup(request);
      const itemId =
        request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
      const { resumeFrom } = request;
      return hub.follow({
        group,
        interest: interestIn(itemId),
        resumeFrom: resumeFrom === undefined ? undefined : checkPosition("resume_from", resumeFrom),
      });
    },
  };
  return {
    handlers: guarded(handlers, () => closing, options.onFailure ?? (() => {})),
    store,
    get closing() {
      return closing;
    },
    drain,
    close() {
      drain();
      return (closed ??= store.close());
    },
  };
}
