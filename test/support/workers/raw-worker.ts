import { type MessageInitShape, create } from "@bufbuild/protobuf";
import { type ConnectError, createClient } from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import { ConnectRequestSchema, type ConnectResponse, WorkerService } from "millrace/v1";
import { AsyncQueue } from "../doors/async-queue.ts";
import { until } from "../hosts/test-service.ts";

type Message = NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>;

/** A worker over gRPC that sends exactly the given messages. */
export interface RawWorker {
  /** The received messages, in order. */
  readonly received: ConnectResponse["message"][];
  send(message: Message): void;
  /** Waits for a message of a kind, the `nth` one from 0. */
  receives<Case extends NonNullable<ConnectResponse["message"]["case"]>>(
    kind: Case,
    nth?: number,
  ): Promise<Extract<ConnectResponse["message"], { case: Case }>["value"]>;
  /** Half-closes. */
  finish(): void;
  /** Disconnects without notice. */
  vanish(): void;
  /** The error that ended the stream; undefined: none. */
  readonly ended: Promise<ConnectError | undefined>;
}

/** Connects without sending a message. */
export function openRawWorker(url: string, headers: Record<string, string> = {}): RawWorker {
  const sessionManager = new Http2SessionManager(url);
  const client = createClient(WorkerService, createGrpcTransport({ baseUrl: url, sessionManager }));
  const requests = new AsyncQueue<MessageInitShape<typeof ConnectRequestSchema>>();
  const received: ConnectResponse["message"][] = [];
  const run = async () => {
    try {
      for await (const { message } of client.connect(requests, { headers })) received.push(message);
      return undefined;
    } catch (error) {
      return error as ConnectError;
    } finally {
      sessionManager.abort();
    }
  };
  const send = (message: Message) => requests.push(create(ConnectRequestSchema, { message }));
  return {
    received,
    send,
    async receives(kind, nth = 0) {
      const found = await until(
        () => received.filter((message) => message.case === kind)[nth],
        (message) => message !== undefined,
      );
      return found?.value as never;
    },
    finish: () => requests.end(),
    vanish: () => sessionManager.abort(),
    ended: run(),
  };
}

/** Connects, and waits for the `welcome`. */
export async function openWorker(
  url: string,
  hello: Extract<Message, { case: "hello" }>["value"] = {},
) {
  const worker = openRawWorker(url);
  worker.send({ case: "hello", value: hello });
  const { workerId, reattachToken } = await worker.receives("welcome");
  return Object.assign(worker, { previousWorkerId: workerId, reattachToken });
}
