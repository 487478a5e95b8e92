import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus as ServingStatus,
  Health as HealthService,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import { StreamError } from "../../core/errors.ts";
import { toConnectError } from "../connect-error.ts";
import { preparedCall } from "../framework/prepared-call.ts";

/** Whether the server accepts calls. */
export type HealthStatus = "serving" | "not_serving";

/** The health of a server: one status, shared by the server as a whole and all its services. */
export interface Health {
  /** Full names of the services whose health is reported, besides `""`, the server as a whole. */
  readonly services: readonly string[];
  readonly status: HealthStatus;
  /** Whether `close` was called. */
  readonly closed: boolean;
  /** Changes the status. Does nothing if the status is the same, or after `close`. */
  set(status: HealthStatus): void;
  /**
   * Calls the listener after every change of `status` or `closed`, before `set` or `close` returns.
   *
   * @returns Removes the listener. Idempotent.
   */
  onChange(listener: () => void): () => void;
  /** Sets `not_serving` for good and ends all Watch streams. Idempotent. */
  close(): void;
}

/** The health of a server that does not serve yet. */
export function createHealth(services: readonly string[]): Health {
  const listeners = new Set<{ readonly listener: () => void }>();
  let status: HealthStatus = "not_serving";
  let closed = false;
  const notify = () => {
    for (const { listener } of Array.from(listeners)) listener();
  };
  return {
    services,
    get status() {
      return status;
    },
    get closed() {
      return closed;
    },
    set(next) {
      if (closed || next === status) return;
      status = next;
      notify();
    },
    onChange(listener) {
      const entry = { listener };
      if (!closed) listeners.add(entry);
      return () => void listeners.delete(entry);
    },
    close() {
      if (closed) return;
      closed = true;
      status = "not_serving";
      notify();
      listeners.clear();
    },
  };
}

/** Most changes that are kept for a watcher that does not read. */
const MAX_PENDING = 100;

/**
 * Registers `grpc.health.v1.Health`.
 *
 * Check and List return the current status; Check of an unknown service is NOT_FOUND. Watch sends
 * the current status at once and then every change in order; a watcher that does not read may miss
 * some, but never the last. Watch of an unknown service sends SERVICE_UNKNOWN and stays open, as
 * the protocol requires. Closing the health ends every Watch with UNAVAILABLE.
 */
export function healthRoutes(router: ConnectRouter, health: Health): void {
  const knows = (service: string) => service === "" || health.services.includes(service);
  router.service(HealthService, {
    check(request, context) {
      const { service } = messageOf(request, context);
      if (!knows(service)) throw unknownService(health);
      return { status: SERVING_STATUS[health.status] };
    },
    list(request, context) {
      messageOf(request, context);
      const response = { status: SERVING_STATUS[health.status] };
      return {
        statuses: Object.fromEntries(["", ...health.services].map((name) => [name, response])),
      };
    },
    async *watch(request: HealthCheckRequest, context: HandlerContext) {
      const { service } = messageOf(request, context);
      const { signal } = context;
      if (!knows(service)) yield { status: ServingStatus.SERVICE_UNKNOWN };
      for await (const status of statuses(health, signal)) {
        if (knows(service)) yield { status: SERVING_STATUS[status] };
      }
    },
  });
}

/** The request as the service decoded it, or as the framework did if the service did not. */
function messageOf<M>(request: M, { values }: HandlerContext): M {
  const { refusal, message } = values.get(preparedCall);
  if (refusal !== undefined) throw toConnectError(refusal);
  return (message as M | undefined) ?? request;
}

const SERVING_STATUS: Record<HealthStatus, ServingStatus> = {
  serving: ServingStatus.SERVING,
  not_serving: ServingStatus.NOT_SERVING,
};

/**
 * Yields the current status and every later one. Never ends on its own.
 *
 * @throws ConnectError UNAVAILABLE after the last one, when the health is closed
 * @throws The signal's reason as soon as it is aborted
 */
async function* statuses(health: Health, signal: AbortSignal): AsyncGenerator<HealthStatus, void> {
  let latest = health.status;
  const pending = [latest];
  let wake = () => {};
  const onChange = () => {
    if (health.status !== latest) pending.push((latest = health.status));
    // The status alternates: dropping two at a time leaves only changes.
    if (pending.length > MAX_PENDING) pending.splice(0, 2);
    wake();
  };
  const stop = health.onChange(onChange);
  const onAbort = () => wake();
  signal.addEventListener("abort", onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      const status = pending.shift();
      if (status !== undefined) yield status;
      else if (health.closed) throw toConnectError(shutDown());
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stop();
    signal.removeEventListener("abort", onAbort);
  }
}

function unknownService({ services }: Health): ConnectError {
  return new ConnectError(
    `service is not known; it may be empty (the server as a whole) or one of: ${services.join(", ")}.`,
    Code.NotFound,
  );
}

function shutDown(): StreamError {
  return new StreamError("SHUTTING_DOWN", "The service is shutting down; watch again in a moment.");
}
