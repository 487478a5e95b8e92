import { type MessageInitShape, create } from "@bufbuild/protobuf";
import { type ConnectError, createClient } from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import { ConnectRequestSchema, type ConnectResponse, WorkerService } from "millrace/v1";
import { AsyncQueue } from "../doors/async-queue.ts";
import { until } from "../hosts/stage.ts";

type Message = NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>;

/** A worker over gRPC that sends exactly the given messages. */
export interface RawWorker {
  /** The received messages, in order. */
  readonly heard: ConnectResponse["message"][];
  say(message: Message): void;
  /** Waits for a message of a kind, the `nth` of them from 0. */
  hears<Case extends NonNullable<ConnectResponse["message"]["case"]>>(
    kind: Case,
    nth?: number,
  ): Promise<Extract<ConnectResponse["message"], { case: Case }>["value"]>;
  /** Half-closes. */
  finish(): void;
  /** Disconnects without notice. */
  vanish(): void;
  /** Why the stream ended; undefined: in good order. */
  readonly ended: Promise<ConnectError | undefined>;
}

/** Connects without sending a message. */
export function openRawWorker(url: string, headers: Record<string, string> = {}): RawWorker {
  const sessionManager = new Http2SessionManager(url);
  const client = createClient(WorkerService, createGrpcTransport({ baseUrl: url, sessionManager }));
  const requests = new AsyncQueue<MessageInitShape<typeof ConnectRequestSchema>>();
  const heard: ConnectResponse["message"][] = [];
  const run = async () => {
    try {
      for await (const { message } of client.connect(requests, { headers })) heard.push(message);
      return undefined;
    } catch (error) {
      return error as ConnectError;
    } finally {
      sessionManager.abort();
    }
  };
  const say = (message: Message) => requests.push(create(ConnectRequestSchema, { message }));
  return {
    heard,
    say,
    async hears(kind, nth = 0) {
      const found = await until(
        () => heard.filter((message) => message.case === kind)[nth],
        (message) => message !== undefined,
      );
      return found?.value as never;
    },
    finish: () => requests.end(),
    vanish: () => sessionManager.abort(),
    ended: run(),
  };
}

/** Connects, and waits for the welcome. */
export async function openWorker(
  url: string,
  hello: Extract<Message, { case: "hello" }>["value"] = {},
) {
  const worker = openRawWorker(url);
  worker.say({ case: "hello", value: hello });
  const { workerId, reattachToken } = await worker.hears("welcome");
  return Object.assign(worker, { previousWorkerId: workerId, reattachToken });
}
