import type { StreamDelta, StreamFrame, StreamService } from "millrace";
import type { JsonObject } from "@bufbuild/protobuf";

/**
 * A door: one way to call the service. Tests that use this interface run over every door.
 */
export interface Door {
  readonly name: string;
  readonly can: {
    /** Calls with a deadline. */
    readonly deadlines: boolean;
    /** Write streams. `refused`: the service refuses them over this protocol. */
    readonly write: "yes" | "refused" | "no";
    /** Revisions and times of items in a snapshot, and metadata of errors. */
    readonly details: boolean;
  };
  /** Opens a client. The caller closes it. */
  client(target: DoorTarget): DoorClient;
}

/** The target of doors: a server, and the service inside it. */
export interface DoorTarget {
  readonly url: string;
  readonly service: StreamService;
  /** The `authorization` header of the client's calls. Default: none. */
  readonly authorization?: string | undefined;
}

/** Options of one call, on doors that support them. */
export interface CallOptions {
  readonly timeoutMs?: number;
}

type Call<Method extends keyof StreamService> = (
  request: Parameters<StreamService[Method]>[0],
  options?: CallOptions,
) => ReturnType<StreamService[Method]>;

/** The calls of the service on plain JSON, whatever the door. Every failure is a DoorError. */
export interface DoorClient {
  readonly set: Call<"set">;
  readonly get: Call<"get">;
  readonly update: Call<"update">;
  readonly delete: Call<"delete">;
  readonly batch: Call<"batch">;
  readonly send: Call<"send">;
  readonly list: Call<"list">;
  readonly history: Call<"history">;
  readonly listGroups: Call<"listGroups">;
  readonly listAll: Call<"listAll">;
  /** Subscribes. A refusal may come from here or from the first `next()`. `return()` cancels. */
  subscribe(request: SubscribeRequest, options?: CallOptions): Promise<Frames>;
  /** Opens a write stream, if the door supports them. */
  write(options?: CallOptions): WriteStream;
  close(): Promise<void>;
}

/** The group or item to follow, and the options. */
export type SubscribeRequest = Parameters<StreamService["subscribe"]>[0];

/** The frames of a subscription. */
export type Frames = AsyncIterator<StreamFrame | StreamDelta, undefined> & {
  return(): Promise<IteratorResult<StreamFrame | StreamDelta, undefined>>;
};

/** A write stream, with the proto JSON of WriteRequest and WriteResponse. */
export interface WriteStream {
  send(request: JsonObject): void;
  /** Half-closes: no more requests. */
  end(): void;
  /** The next response; undefined when the service ended the stream without an error. */
  next(): Promise<JsonObject | undefined>;
  /** Cancels. */
  cancel(): Promise<void>;
}

/** A failed call, the same whatever the door. */
export class DoorError extends Error {
  override readonly name = "DoorError";
  /** Connect's name of the code. */
  readonly code: string;
  /** Of `google.rpc.ErrorInfo`; undefined when there was none of domain `millrace`. */
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    code: string,
    message: string,
    info: { reason: string; metadata: Readonly<Record<string, string>> } | undefined,
    cause: unknown,
  ) {
    super(message, { cause });
    this.code = code;
    this.reason = info?.reason;
    this.metadata = { ...info?.metadata };
  }
}

/** A promise whose failure is a DoorError. */
export async function failingAs<T>(
  promise: Promise<T>,
  toError: (error: unknown) => DoorError,
): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw toError(error);
  }
}
