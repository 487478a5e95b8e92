import type { Json, Position, UpdateStep } from "millrace";

/** A frame as the WebSocket bridge sends it. */
export interface BridgeFrame {
  readonly type: "stream";
  readonly timestamp: number;
  readonly epoch?: string;
  readonly revision?: number;
  readonly streamName: string;
  readonly groupId: string;
  readonly id: string | null;
  readonly subscriptionId?: string;
  readonly author?: string;
  readonly event: {
    readonly type: string;
    readonly data?: Json;
    readonly ops?: readonly UpdateStep[];
    readonly baseRevision?: number;
    readonly ids?: readonly string[];
    readonly items?: readonly BridgeItem[];
    readonly truncated?: boolean;
    readonly olderPageToken?: string;
    readonly first?: boolean;
    readonly last?: boolean;
    readonly head?: Position;
    readonly event?: { readonly type: string; readonly data: Json };
    readonly code?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly cause?: "expired" | "disconnected" | "evicted";
  };
}

/** An item of a sync. Times are Unix milliseconds. */
export interface BridgeItem {
  readonly id: string;
  readonly data: Json;
  readonly revision: number;
  readonly createTime: number;
  readonly updateTime: number;
  readonly expireTime?: number;
  readonly author?: string;
}

/** Parses a frame. */
export function readBridgeFrame(bytes: Buffer): BridgeFrame {
  return JSON.parse(bytes.toString()) as BridgeFrame;
}

/** The position that a frame carries. */
export function framePosition({ epoch, revision, event }: BridgeFrame): Position {
  if (epoch === undefined || revision === undefined)
    throw new Error(`a ${event.type} without a position`);
  return { epoch, revision };
}

/** The items of a sync. */
export function syncItems({ id, event }: BridgeFrame): { itemId: string; data: Json }[] {
  const { data = null, ids = [] } = event;
  const values = id === null ? (data as readonly Json[]) : [data];
  return ids.map((itemId, i) => ({ itemId, data: values[i] ?? null }));
}
