import {
  type DescMessage,
  type DescMethod,
  type MessageShape,
  create,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import {
  ListAllResponseSchema,
  ListGroupsResponseSchema,
  StreamService,
} from "../../gen/millrace/v1/stream_service_pb.ts";
import type { Handlers } from "../service/handlers.ts";
import { compileBinaryDecoder } from "../wire/decode-binary.ts";
import type { Decoded } from "../wire/decoded.ts";
import {
  EMPTY_ENVELOPE,
  batchEnvelope,
  deletedEnvelope,
  itemEnvelope,
  listEnvelope,
  setEnvelope,
  updateEnvelope,
} from "../wire/response-bytes.ts";
import { toBatchRequest, toUpdateRequest } from "./calls.ts";
import { checkFlags } from "./envelope-splitter.ts";
import { type LaneMethod, letGo, respond, timeoutOf, trailersOf } from "./lane-answer.ts";
import type { Transport } from "./prepared-call.ts";
import { BODY_TIMEOUT_MS, MAX_REQUEST_BYTES, bodyInvalid, bodyTooLarge } from "./request-body.ts";
import { listAllResponse, listGroupsResponse } from "./results.ts";

const PREFIX_BYTES = 5;
const { method } = StreamService;

/** Decodes the one message of a request, runs the call, and encodes its answer with its prefix. */
type Run = (message: Buffer) => Promise<Uint8Array>;

/** The calls that take one message and give one, by their names. */
export function createUnaryLanes(handlers: Handlers): [name: string, method: LaneMethod][] {
  return [
    lane(method.set, async (m) => setEnvelope(await handlers.set(m))),
    lane(method.get, async (m) => itemEnvelope(await handlers.get(m))),
    lane(method.update, async (m) => updateEnvelope(await handlers.update(toUpdateRequest(m)))),
    lane(method.delete, async (m) => deletedEnvelope(await handlers.delete(m))),
    lane(method.batch, async (m) => batchEnvelope(await handlers.batch(toBatchRequest(m)))),
    lane(method.send, async (m) => {
      await handlers.send(m);
      return EMPTY_ENVELOPE;
    }),
    lane(method.list, async (m) => listEnvelope(await handlers.list(m))),
    lane(method.listGroups, async (m) => {
      const response = listGroupsResponse(await handlers.listGroups(m));
      return enveloped(
        toBinary(ListGroupsResponseSchema, create(ListGroupsResponseSchema, response)),
      );
    }),
    lane(method.listAll, async (m) => {
      const response = listAllResponse(await handlers.listAll(m));
      return enveloped(toBinary(ListAllResponseSchema, create(ListAllResponseSchema, response)));
    }),
  ];
}

function lane<I extends DescMessage>(
  of: DescMethod & { readonly input: I },
  run: (message: Decoded<MessageShape<I>>) => Promise<Uint8Array>,
): [string, LaneMethod] {
  const decode = compileBinaryDecoder(of.input);
  return [
    of.name,
    (stream, headers, transport) =>
      new UnaryCall(stream, headers).answer(of, transport, async (message) => run(decode(message))),
  ];
}

function enveloped(message: Uint8Array): Buffer {
  const envelope = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  envelope[0] = 0;
  envelope.writeUInt32BE(message.length, 1);
  envelope.set(message, PREFIX_BYTES);
  return envelope;
}

/**
 * One call on its way.
 *
 *     reading --whole--> running --answered--> over
 *        '--malformed, refused, late, gone------'
 */
class UnaryCall {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #length = 0;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #failure: unknown;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#stream = stream;
    this.#headers = headers;
  }

  answer(of: DescMethod, { permit }: Transport, run: Run): void {
    const stream = this.#stream;
    const timeoutMs = timeoutOf(this.#headers);
    if (timeoutMs !== undefined) {
      const late = () =>
        this.#fail(new ConnectError("the operation timed out", Code.DeadlineExceeded));
      if (timeoutMs <= 0) return late();
      this.#timer = setTimeout(late, timeoutMs);
    }
    try {
      permit(of);
    } catch (refusal) {
      return this.#fail(refusal);
    }
    const slow = setTimeout(
      () =>
        this.#fail(bodyInvalid(`The request did not arrive whole within ${BODY_TIMEOUT_MS} ms.`)),
      BODY_TIMEOUT_MS,
    );
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("end", () => {
      clearTimeout(slow);
      if (!this.#isOver) void this.#run(run);
    });
    stream.on("close", () => {
      clearTimeout(slow);
      clearTimeout(this.#timer);
      this.#isOver = true;
    });
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#length += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else (this.#more ??= []).push(chunk);
    const said = chunk === this.#first && chunk.length >= PREFIX_BYTES ? chunk.readUInt32BE(1) : 0;
    if (said > MAX_REQUEST_BYTES || this.#length > MAX_REQUEST_BYTES + PREFIX_BYTES)
      this.#fail(bodyTooLarge());
  }

  async #run(run: Run): Promise<void> {
    let answer: Uint8Array;
    try {
      answer = await run(messageOf(this.#body()));
    } catch (error) {
      return this.#fail(error);
    }
    this.#end(answer, undefined);
  }

  #body(): Buffer {
    if (this.#first === undefined) return NOTHING;
    return this.#more === undefined
      ? this.#first
      : Buffer.concat([this.#first, ...this.#more], this.#length);
  }

  #fail(failure: unknown): void {
    this.#end(undefined, failure);
  }

  #end(answer: Uint8Array | undefined, failure: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    const stream = this.#stream;
    if (stream.destroyed) return;
    this.#failure = failure;
    stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(this.#failure)));
    respond(stream);
    stream.end(answer);
    letGo(stream);
  }
}

const NOTHING = Buffer.alloc(0);

/** The one message of a body. @throws StreamError REQUEST_INVALID unless there is exactly one, whole. */
function messageOf(body: Buffer): Buffer {
  if (body.length === 0) throw bodyInvalid("The request has no message; this call takes one.");
  if (body.length < PREFIX_BYTES) throw cutShort();
  const size = body.readUInt32BE(1);
  if (size > MAX_REQUEST_BYTES) throw bodyTooLarge();
  const end = PREFIX_BYTES + size;
  if (body.length < end) throw cutShort();
  if (body.length > end)
    throw bodyInvalid("The request has more than one message; this call takes one.");
  checkFlags(body[0] ?? 0);
  return body.subarray(PREFIX_BYTES, end);
}

function cutShort() {
  return bodyInvalid("The request is cut short in the middle of a message.");
}
