import type { BridgeOptions } from "../bridge/bridge.ts";
import { WaitingCalls } from "../bridge/call-order.ts";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { MAX_VALUE_BYTES } from "../core/value.ts";
import type { BodyBudget } from "../limits/body-budget.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import type { UntrustedBodies } from "../limits/untrusted-bodies.ts";
import { MAX_REQUEST_BYTES } from "../rpc/envelope.ts";
import type { UnaryMethod } from "../rpc/unary-methods.ts";
import type { Permits } from "./permits.ts";

const { get, listAll } = StreamService.method;

/** Bytes of the response to a Get beside the value. */
const ITEM_BYTES = 4 * 1024;

/**
 * The calls of sockets: of all unary methods, except that for the whole service.
 *
 * @param memory Counts the results that clients have not read.
 */
export function socketCalls(
  methods: readonly UnaryMethod[],
  permits: Pick<Permits, "requireCall">,
  memory: SnapshotMemory,
): BridgeOptions["calls"] {
  const callable = methods.filter(({ of }) => of !== listAll);
  return {
    methods: new Map(
      callable.map(({ of, prepared }) => [
        of.name,
        {
          maxResponseBytes: of === get ? MAX_VALUE_BYTES + ITEM_BYTES : MAX_REQUEST_BYTES,
          require: (caller) => permits.requireCall(of, caller),
          prepare: prepared,
        },
      ]),
    ),
    memory,
    waiting: new WaitingCalls(),
  };
}

/**
 * Opens the accounts for frames that are arriving. Those of trusted callers count in the budget only.
 * Those of others have a share of it, in which a connection has room for one large frame, whatever
 * pieces it arrives in.
 */
export function frameAccounts(
  bodies: BodyBudget,
  untrusted: UntrustedBodies,
  maxFrameBytes: number,
): BridgeOptions["openFrameAccount"] {
  return (stream, cut, size) => {
    if (size === "trusted") return bodies;
    return untrusted.open(stream, cut, size === "small" ? undefined : 2 * maxFrameBytes);
  };
}
