import { createConnectLane } from "../rpc/fast-path/connect-unary.ts";
import { createLane } from "../rpc/fast-path/grpc.ts";
import { exchangeOver2 } from "./connect-exchange.ts";
import { type HttpHandlerOptions, transportOf } from "./http-handler.ts";
import type { StreamListener } from "./port/listener.ts";

/** Takes the HTTP/2 streams that have a lane of their own: gRPC and Connect calls that ask for nothing special. */
export function createStreamHandler({
  handlers,
  unaryMethods,
  permits,
  draining,
  bodies,
}: Pick<
  HttpHandlerOptions,
  "handlers" | "unaryMethods" | "permits" | "draining" | "bodies"
>): StreamListener {
  const grpc = createLane(handlers, unaryMethods, draining, bodies);
  const connect = createConnectLane(unaryMethods, bodies);
  return (stream, headers) => {
    const transport = () => transportOf(stream, headers, permits);
    return grpc(stream, headers, transport) || connect(exchangeOver2(stream, headers), transport);
  };
}
