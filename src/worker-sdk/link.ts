import { type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type {
  ConnectRequestSchema,
  ConnectResponse,
  WorkerService,
} from "../../gen/millrace/v1/worker_service_pb.ts";
import { RequestQueue } from "./request-queue.ts";

/** A message to the service. */
export type ToService = NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>;
/** A message from the service. */
export type FromService = ConnectResponse["message"];

/** Options of a link. */
export interface LinkOptions {
  readonly client: Client<typeof WorkerService>;
  readonly headers: Readonly<Record<string, string>>;
  /** The first message. */
  readonly hello: ToService;
  /** Called with each message, in order. */
  readonly onMessage: (message: FromService) => void;
}

/** Interval of heartbeats, in milliseconds. */
const HEARTBEAT_MS = 20_000;
/** Longest time without a message from the service, in milliseconds. */
const SILENCE_MS = 60_000;

/** One connection to the service, until it ends. */
export interface Link {
  send(message: ToService): void;
  /** Resolves with the error, if any, when the connection has ended. */
  readonly ended: Promise<unknown>;
  /** Half-closes: sends no more messages. */
  finish(): void;
  /** Resets the connection. */
  cut(): void;
}

/** Opens a connection. */
export function openLink({ client, headers, hello, onMessage }: LinkOptions): Link {
  const requests = new RequestQueue<MessageInitShape<typeof ConnectRequestSchema>>();
  const controller = new AbortController();
  const send = (message: ToService) => requests.push({ message });
  const heartbeat = setInterval(() => send({ case: "heartbeat", value: {} }), HEARTBEAT_MS);
  const silence = setTimeout(
    () => controller.abort(new Error("The service fell silent.")),
    SILENCE_MS,
  );
  const run = async (): Promise<unknown> => {
    try {
      const responses = client.connect(requests, { headers, signal: controller.signal });
      for await (const { message } of responses) {
        silence.refresh();
        onMessage(message);
      }
      return undefined;
    } catch (error) {
      return error;
    } finally {
      clearInterval(heartbeat);
      clearTimeout(silence);
      requests.end();
    }
  };
  send(hello);
  return {
    send,
    ended: run(),
    finish: () => requests.end(),
    cut: () => controller.abort(),
  };
}
