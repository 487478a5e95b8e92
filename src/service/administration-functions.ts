import { StreamError } from "../core/errors.ts";
import { FunctionError } from "../core/function-call.ts";
import type { Provider } from "../functions/provider.ts";
import { type Payload, malformedPayload, payloadOf } from "./function-payload.ts";

/**
 * Built-in functions for calls of the AdminService. Errors of the service have the code
 * `errorCode`, and a message that begins with the reason.
 */
export function administrationFunctions(
  errorCode: string,
  calls: Readonly<Record<string, (payload: Payload) => Promise<object>>>,
): ReadonlyMap<string, Provider> {
  return new Map(
    Object.entries(calls).map(([id, call]): [string, Provider] => [
      id,
      {
        async invoke({ payload }) {
          try {
            return JSON.stringify(await call(payloadOf(payload)));
          } catch (error) {
            if (error instanceof FunctionError) throw error;
            const { reason, message } = StreamError.from(error);
            throw new FunctionError(errorCode, `${reason}: ${message}`);
          }
        },
      },
    ]),
  );
}

/** A field that is a number; undefined when it is absent or null. @throws FunctionError */
export function numberField(payload: Payload, field: string): number | undefined {
  const value = payload[field] ?? undefined;
  if (value === undefined || typeof value === "number") return value;
  throw malformedPayload(`${field} is not a number; it may be a number.`);
}
