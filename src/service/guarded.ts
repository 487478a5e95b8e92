import { StreamError } from "../core/errors.ts";
import type { Handlers } from "./handlers.ts";

/** The error for calls that arrive while the service shuts down. */
export function shuttingDown(): StreamError {
  return new StreamError("SHUTTING_DOWN", "The service is shutting down; come back in a moment.");
}

/**
 * The handlers as protocols get them: they refuse new calls once the service closes, turn any
 * thrown value into a StreamError, and report the details that callers do not see.
 *
 * @param onFailure Notified of errors with a cause, and of INTERNAL ones.
 */
export function guarded(
  handlers: Handlers,
  isClosing: () => boolean,
  onFailure: (error: StreamError, call: string) => void,
): Handlers {
  const failed = (error: unknown, call: string): StreamError => {
    const known = StreamError.from(error);
    if (known.cause !== undefined || known.reason === "INTERNAL") onFailure(known, call);
    return known;
  };
  const guard = <Q, R>(call: string, run: (request: Q) => Promise<R>) => {
    const fail = (error: unknown): never => {
      throw failed(error, call);
    };
    // Not async: each layer of promises has a cost, and no handler throws synchronously.
    return (request: Q): Promise<R> =>
      isClosing() ? Promise.reject(shuttingDown()) : run(request).catch(fail);
  };
  return {
    set: guard("set", (request) => handlers.set(request)),
    get: guard("get", (request) => handlers.get(request)),
    update: guard("update", (request) => handlers.update(request)),
    delete: guard("delete", (request) => handlers.delete(request)),
    batch: guard("batch", (request) => handlers.batch(request)),
    send: guard("send", (request) => handlers.send(request)),
    list: guard("list", (request) => handlers.list(request)),
    listGroups: guard("listGroups", (request) => handlers.listGroups(request)),
    listAll: guard("listAll", (request) => handlers.listAll(request)),
    subscribe: guard("subscribe", (request) => handlers.subscribe(request)),
    authenticate: guard("authenticate", (request) => handlers.authenticate(request)),
    admit: guard("admit", (request) => handlers.admit(request)),
    share(request) {
      if (isClosing()) throw shuttingDown();
      return handlers.share(request);
    },
  };
}
