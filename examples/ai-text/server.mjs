// A page that asks a simulated model. Its answers survive a reload of the page, a lost network, and
// the end of any process. Run it beside `npm start`, and open the address that it prints:
//
//   node examples/ai-text/server.mjs [--port 3204] [--service http://127.0.0.1:3112] [--pace 40]
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createAnswers } from "./answers.mjs";
import { QUESTIONS, say } from "./model.mjs";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "3204" },
    service: { type: "string", default: "http://127.0.0.1:3112" },
    // Milliseconds for each piece of an answer.
    pace: { type: "string", default: "40" },
  },
});
const paceMs = Number(values.pace);
const answers = createAnswers(values.service, (question, signal) =>
  say(question, { paceMs, signal }),
);

const PAGE = new URL("page/", import.meta.url);
/** The reducer of updates, as the package has it: one file and what it imports. */
const REDUCER = new URL(".", import.meta.resolve("millrace/ops"));
const TYPES = { css: "text/css", html: "text/html", js: "text/javascript", svg: "image/svg+xml" };

/** Most bytes of a request. */
const MAX_BODY = 16 * 1024;

/**
 * The file at a path of the page; undefined: there is none.
 *
 * @param {string} path
 */
function fileOf(path) {
  const name = path === "/" ? "index.html" : path.slice(1);
  if (/^[a-z-]+\.(?:css|html|js|svg)$/.test(name)) return new URL(name, PAGE);
  const part = /^\/millrace\/((?:core\/)?[a-z-]+\.js)$/.exec(path)?.[1];
  return part === undefined ? undefined : new URL(part, REDUCER);
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @returns {Promise<Record<string, unknown>>}
 */
async function readJson(request) {
  // Pages of other origins cannot send this type without being asked first.
  if (request.headers["content-type"] !== "application/json") throw new Error("no JSON");
  let text = "";
  for await (const part of request.setEncoding("utf8")) {
    text += part;
    if (text.length > MAX_BODY) throw new Error("too long");
  }
  return Object(JSON.parse(text));
}

/**
 * @param {string} path
 * @param {Record<string, unknown>} request
 */
function post(path, { conversation, question, answer }) {
  if (path === "/ask" && typeof conversation === "string" && typeof question === "string")
    return { answer: answers.ask(conversation, question.toWellFormed()) };
  if (path === "/stop" && typeof answer === "string") return answers.stop(answer) ?? {};
  throw new Error("no such call");
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @returns {Promise<{ type: string, body: string | Buffer } | undefined>} Undefined: not found.
 */
async function respond(request) {
  const { pathname } = new URL(request.url ?? "/", "http://page");
  if (request.method === "POST") {
    const result = post(pathname, await readJson(request));
    return { type: "application/json", body: JSON.stringify(result) };
  }
  if (pathname === "/settings.json") {
    const settings = { service: values.service.replace("http", "ws"), questions: QUESTIONS };
    return { type: "application/json", body: JSON.stringify(settings) };
  }
  const file = fileOf(pathname);
  if (file === undefined) return undefined;
  const ending = /** @type {keyof typeof TYPES} */ (file.pathname.split(".").at(-1));
  return { type: TYPES[ending], body: await readFile(file) };
}

const server = createServer((request, response) => {
  respond(request).then(
    (found) => {
      if (found === undefined) response.writeHead(404).end();
      else
        response.writeHead(200, { "content-type": `${found.type}; charset=utf-8` }).end(found.body);
    },
    () => response.writeHead(400).end(),
  );
});
await once(server.listen(Number(values.port), "127.0.0.1"), "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
console.log(`Open http://127.0.0.1:${port}`);

for (;;) {
  try {
    await answers.askAgain();
    break;
  } catch {
    // Millrace is not there yet.
    await sleep(1000);
  }
}
