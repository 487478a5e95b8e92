import { type Interceptor, createContextKey } from "@connectrpc/connect";
import { toConnectError } from "./connect-error.ts";

/** Counts a call that anybody may make, by throwing when it comes too fast. */
export const publicPermit = createContextKey<() => void>(() => {});

/** Makes the services that anybody may call refuse calls that come too fast. */
export const countPublicCalls: Interceptor = (next) => (request) => {
  try {
    request.contextValues.get(publicPermit)();
  } catch (refusal) {
    throw toConnectError(refusal);
  }
  return next(request);
};
