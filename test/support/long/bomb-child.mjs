// Sends bombs: requests that are small or look harmless, and are expensive to read without limits.
// It is forked with the URL of the server as argv[2]. For each message `{ kind, count, atOnce }`,
// it sends bombs of a kind and replies `{ refused, cut, accepted, tookMs }` when all have ended.
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { WebSocket } from "ws";

process.on("disconnect", () => process.exit(1));

const url = process.argv[2] ?? "";
const MIB = 1024 * 1024;
const LARGE = 4 * MIB - 1024;
/** Bytes of a frame that the bridge accepts. */
const SMALL = 60 * 1024;
const SESSIONS = 10;

/** Contents of bombs: bytes that no decoder accepts; the brackets are endlessly nested JSON. */
const FILLINGS = [
  { what: "zeros in gzip", encoding: "gzip", bomb: gzipSync(Buffer.alloc(LARGE)) },
  { what: "brackets in br", encoding: "br", bomb: brotliCompressSync(Buffer.alloc(LARGE, "[")) },
];
/** @param {number} bytes */
const deepValue = (bytes) => `${"[".repeat(bytes / 2)}${"]".repeat(bytes / 2)}`;

/** @param {Uint8Array} message */
function enveloped(message, flags = 0) {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}

/**
 * A length-delimited field of Protocol Buffers.
 *
 * @param {number} number
 * @param {Uint8Array} content
 */
function field(number, content) {
  const head = [(number << 3) | 2];
  let size = content.byteLength;
  for (; size > 127; size = Math.floor(size / 128)) head.push((size % 128) | 128);
  return Buffer.concat([Buffer.from([...head, size]), content]);
}

const SERVICE = "/millrace.v1.StreamService";
const WORKERS = "/millrace.v1.WorkerService/Connect";
const HEALTH = "/grpc.health.v1.Health";
const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/** Kinds of bombs by name. Each function sends one, and resolves with the response as text. */
const kinds = new Map();

/**
 * @param {string} name
 * @param {string} path
 * @param {Record<string, string>} headers
 * @param {Buffer} body
 */
function addHttp2(name, path, headers, body) {
  kinds.set(name, (/** @type {number} */ i) => sendHttp2(i, path, headers, body));
}

const deepSet = Buffer.from(
  `{"streamName":"s","groupId":"g","itemId":"i","data":${deepValue(LARGE - 1024)}}`,
);
addHttp2("Connect, nested JSON", `${SERVICE}/Set`, { "content-type": "application/json" }, deepSet);
kinds.set("Connect over HTTP/1.1, nested JSON", () =>
  sendHttp1(`${SERVICE}/Set`, { "content-type": "application/json" }, deepSet),
);
for (const [encoding, compress] of Object.entries({ gzip: gzipSync, br: brotliCompressSync })) {
  const headers = { "content-type": "application/json", "content-encoding": encoding };
  addHttp2(`Connect, nested JSON in ${encoding}`, `${SERVICE}/Set`, headers, compress(deepSet));
}
for (const { what, encoding, bomb } of FILLINGS) {
  const packed = enveloped(bomb, 1);
  const grpc = { te: "trailers", "grpc-encoding": encoding };
  const unary = { "content-encoding": encoding };
  const type = (/** @type {string} */ value) => ({ "content-type": value });
  const add = (
    /** @type {string} */ name,
    /** @type {string} */ path,
    /** @type {Record<string, string>} */ headers,
    body = packed,
  ) => addHttp2(`${name}, ${what}`, path, headers, body);
  add("gRPC", `${SERVICE}/Set`, { ...grpc, ...type("application/grpc") });
  add("gRPC JSON", `${SERVICE}/Set`, { ...grpc, ...type("application/grpc+json") });
  add("gRPC Write", `${SERVICE}/Write`, { ...grpc, ...type("application/grpc") });
  add("gRPC Subscribe", `${SERVICE}/Subscribe`, { ...grpc, ...type("application/grpc") });
  add("gRPC-Web", `${SERVICE}/Set`, { ...grpc, ...type("application/grpc-web+proto") });
  add("Connect", `${SERVICE}/Set`, { ...unary, ...type("application/proto") }, bomb);
  add("Connect JSON", `${SERVICE}/Set`, { ...unary, ...type("application/json") }, bomb);
  add("Connect Subscribe", `${SERVICE}/Subscribe`, {
    "connect-content-encoding": encoding,
    ...type("application/connect+json"),
  });
  add("health", `${HEALTH}/Check`, { ...grpc, ...type("application/grpc") });
  add("health Watch", `${HEALTH}/Watch`, { ...grpc, ...type("application/grpc") });
  add("reflection", REFLECTION, { ...grpc, ...type("application/grpc") });
  add("worker", WORKERS, { ...grpc, ...type("application/grpc") });
}

const hello = enveloped(field(1, field(1, Buffer.from("bomber"))));
const invoke = field(
  6,
  Buffer.concat([
    field(1, Buffer.from("1")),
    field(2, Buffer.from("stream::get")),
    field(3, Buffer.from(deepValue(3 * MIB))),
  ]),
);
kinds.set("worker, nested JSON", (/** @type {number} */ i) =>
  sendHttp2(
    i,
    WORKERS,
    { te: "trailers", "content-type": "application/grpc" },
    Buffer.concat([hello, enveloped(invoke)]),
    "deserialization_error",
  ),
);
kinds.set("WebSocket, nested JSON", () =>
  sendFrame(
    "/ws/streams",
    `{"type":"join","data":{"subscriptionId":"s","streamName":"s","groupId":"g","x":${deepValue(SMALL)}}}`,
    "error",
  ),
);
kinds.set("worker's WebSocket, nested JSON", () =>
  sendFrame(
    "/worker",
    `{"type":"invokefunction","invocation_id":"0b0e4ca5-1f2b-4a8e-9a53-5d2f8b8f5c11","function_id":"stream::get","data":${deepValue(LARGE)}}`,
    "deserialization_error",
  ),
);

function openSession() {
  const session = connectHttp2(url, { maxSessionMemory: 1000 });
  session.on("error", () => {});
  return session;
}
const sessions = Array.from({ length: SESSIONS }, openSession);

/**
 * @param {number} i
 * @param {string} path
 * @param {Record<string, string>} headers
 * @param {Buffer} body
 * @param {string} [last] Text that ends the wait for a response that does not end by itself.
 */
function sendHttp2(i, path, headers, body, last) {
  return new Promise((resolve) => {
    const session = sessions[i % SESSIONS] ?? openSession();
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    let received = "";
    stream.on("response", (given) => (received += JSON.stringify(given)));
    stream.on("trailers", (given) => (received += JSON.stringify(given)));
    stream.on("data", (/** @type {Buffer} */ chunk) => {
      received += chunk.toString("latin1");
      if (last !== undefined && received.includes(last)) stream.close();
    });
    stream.on("error", () => {});
    stream.on("close", () => resolve(received));
    if (last === undefined) stream.end(body);
    else stream.write(body);
  });
}

/**
 * @param {string} path
 * @param {Record<string, string>} headers
 * @param {Buffer} body
 */
function sendHttp1(path, headers, body) {
  const { hostname, port, host } = new URL(url);
  const lines = Object.entries({ host, connection: "close", ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const head = `POST ${path} HTTP/1.1\r\n${lines.join("")}content-length: ${body.byteLength}\r\n\r\n`;
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(Number(port), hostname);
    socket.on("data", (chunk) => (received += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(received.replace(/^HTTP\/1\.1 /, '":status":')));
    socket.write(head);
    socket.write(body);
  });
}

/**
 * @param {string} path
 * @param {string} frame
 * @param {string} refusal
 */
function sendFrame(path, frame, refusal) {
  return new Promise((resolve) => {
    let received = "";
    const socket = new WebSocket(`${url.replace("http", "ws")}${path}`);
    socket.on("error", () => {});
    socket.on("open", () => socket.send(frame));
    socket.on("message", (/** @type {Buffer} */ data) => {
      received += data.toString();
      if (received.includes(refusal)) socket.close();
    });
    // 1013 is a temporary refusal, codes from 4000 are of the service; without a code it was cut.
    socket.on("close", (code) => {
      const isRefusal = received.includes(refusal) || code === 1013 || code >= 4000;
      resolve(isRefusal ? `${received} error` : code === 1006 ? "" : `${received} ${code}`);
    });
  });
}

const REFUSED =
  /"grpc-status":"[^0]"|grpc-status: ?[^0]|"grpc-status":"1\d"|":status":[45]|"code":"[a-z]|error|REQUEST_INVALID|OVERLOADED/;

/** @param {{ kind: string, count: number, atOnce: number }} order */
async function bomb({ kind, count, atOnce }) {
  const send = kinds.get(kind);
  const started = performance.now();
  const report = { refused: 0, cut: 0, accepted: 0, example: "" };
  let sent = 0;
  const sendAll = async () => {
    while (sent < count) {
      const received = await send(sent++);
      if (REFUSED.test(received)) report.refused++;
      else if (received === "" || received === " ") report.cut++;
      else {
        report.accepted++;
        report.example = received.slice(0, 500);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, sendAll));
  process.send?.({ ...report, tookMs: Math.round(performance.now() - started) });
}
process.on("message", (/** @type {any} */ order) => void bomb(order));
process.send?.({ kinds: [...kinds.keys()] });
