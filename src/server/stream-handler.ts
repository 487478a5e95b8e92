import { createConnectFastPath } from "../rpc/fast-path/connect-unary.ts";
import { createGrpcFastPath } from "../rpc/fast-path/grpc.ts";
import { exchangeOver2 } from "./connect-exchange.ts";
import type { HttpHandlerOptions } from "./http-handler.ts";
import type { StreamListener } from "./port/listener.ts";
import { StreamTransport } from "./stream-transport.ts";

/**
 * Serves plain gRPC and Connect calls on the fast path. The other HTTP/2 streams are left to the
 * framework path.
 */
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
  const grpc = createGrpcFastPath(handlers, unaryMethods, draining, bodies);
  const connect = createConnectFastPath(unaryMethods, bodies);
  return (stream, headers) => {
    const transport = () => new StreamTransport(stream, headers, permits);
    return grpc(stream, headers, transport) || connect(exchangeOver2(stream, headers), transport);
  };
}
