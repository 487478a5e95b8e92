import type { AuthRequest } from "../core/auth.ts";
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
  const guard = <Q, C, R>(call: string, run: (request: Q, caller: C) => Promise<R>) => {
    const fail = (error: unknown): never => {
      throw failed(error, call);
    };
    // Not async: each layer of promises has a cost, and no handler throws synchronously.
    return (request: Q, caller: C): Promise<R> =>
      isClosing() ? Promise.reject(shuttingDown()) : run(request, caller).catch(fail);
  };
  const authenticate = guard("authenticate", (request: AuthRequest) =>
    handlers.authenticate(request),
  );
  return {
    set: guard("set", (request, caller) => handlers.set(request, caller)),
    get: guard("get", (request, caller) => handlers.get(request, caller)),
    update: guard("update", (request, caller) => handlers.update(request, caller)),
    delete: guard("delete", (request, caller) => handlers.delete(request, caller)),
    batch: guard("batch", (request, caller) => handlers.batch(request, caller)),
    send: guard("send", (request, caller) => handlers.send(request, caller)),
    list: guard("list", (request, caller) => handlers.list(request, caller)),
    history: guard("history", (request, caller) => handlers.history(request, caller)),
    listGroups: guard("listGroups", (request, caller) => handlers.listGroups(request, caller)),
    listAll: guard("listAll", (request, caller) => handlers.listAll(request, caller)),
    subscribe: guard("subscribe", (request, caller) => handlers.subscribe(request, caller)),
    seesAuthors: (caller, streamName) => handlers.seesAuthors(caller, streamName),
    authenticate: (request) => authenticate(request, undefined),
    requirePresence: (group, caller) => handlers.requirePresence(group, caller),
    async announce(group, data, caller) {
      if (isClosing()) throw shuttingDown();
      return handlers.announce(group, data, caller).catch((error: unknown) => {
        throw failed(error, "announce");
      });
    },
    admit: guard("admit", (request, subscriber) => handlers.admit(request, subscriber)),
    share(request) {
      if (isClosing()) throw shuttingDown();
      return handlers.share(request);
    },
  };
}
