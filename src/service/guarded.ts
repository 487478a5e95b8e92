import { StreamError } from "../core/errors.ts";
import type { Handlers } from "./handlers.ts";

/** The refusal of whatever comes while the service goes down. */
export function shuttingDown(): StreamError {
  return new StreamError("SHUTTING_DOWN", "The service is shutting down; come back in a moment.");
}

/**
 * The handlers as doors get them: they refuse new calls once the service closes, turn whatever is
 * thrown into a StreamError, and report what callers are not told.
 *
 * @param onFailure Told of errors with a cause, and of INTERNAL ones.
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
  const guard =
    <Q, R>(call: string, run: (request: Q) => Promise<R>) =>
    async (request: Q): Promise<R> => {
      if (isClosing()) throw shuttingDown();
      try {
        return await run(request);
      } catch (error) {
        throw failed(error, call);
      }
    };
  return {
    set: guard("set", handlers.set),
    get: guard("get", handlers.get),
    update: guard("update", handlers.update),
    delete: guard("delete", handlers.delete),
    batch: guard("batch", handlers.batch),
    send: guard("send", handlers.send),
    list: guard("list", handlers.list),
    listGroups: guard("listGroups", handlers.listGroups),
    listAll: guard("listAll", handlers.listAll),
    subscribe: guard("subscribe", handlers.subscribe),
    share(request) {
      if (isClosing()) throw shuttingDown();
      return handlers.share(request);
    },
  };
}
