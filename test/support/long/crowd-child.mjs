// Opens many connections to a port, with the options given as JSON in argv[2]. Silent connections
// send nothing; it prints `{"opened":N}` when all are open. The others open within `spreadMs` and
// send their first byte `firstByteMs` later, every other one for a WebSocket; it prints
// `{"served":N,"cut":N}` when each has received its response or was closed.
import { connect } from "node:net";
import { endWithParent } from "./end-with-parent.mjs";

endWithParent();

const options = JSON.parse(process.argv[2] ?? "{}");
const { port, localAddress, count, silent, spreadMs, firstByteMs } = options;
const GET = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const UPGRADE =
  "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n" +
  "sec-websocket-version: 13\r\nsec-websocket-key: BwcHBwcHBwcHBwcHBwcHBw==\r\n\r\n";

/** Resolves with whether it was served. @param {number} i */
function visit(i) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress }, () => {
      if (silent) resolve(true);
      else setTimeout(() => socket.write(i % 2 === 0 ? GET : UPGRADE), firstByteMs);
    });
    socket.on("data", (chunk) =>
      resolve(/^HTTP\/1\.1 (?:200|101) /.test(chunk.toString("latin1"))),
    );
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

const visits = Array.from({ length: count }, async (_, i) => {
  await new Promise((resolve) => setTimeout(resolve, (i * spreadMs) / count));
  return visit(i);
});
const served = (await Promise.all(visits)).filter(Boolean).length;
process.stdout.write(
  `${JSON.stringify(silent ? { opened: served } : { served, cut: count - served })}\n`,
);
