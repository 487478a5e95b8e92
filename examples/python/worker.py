# A worker: a program that provides functions to the service. docs/python.md says how to run it.
import asyncio
import json
import os
import random
import signal
import sys
import uuid
from functools import partial

import grpc

from millrace.v1 import worker_service_pb2 as pb
from millrace.v1 import worker_service_pb2_grpc as stubs

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:3112"
HEADERS = [("authorization", f"Bearer {os.environ['TOKEN']}")] if "TOKEN" in os.environ else None
CREDITS = 16  # Calls that it takes at once.
MAX_TEXT = 4 * 1024 * 1024 - 4096  # Largest payload and result, in bytes.


async def shout(payload, call):
    return {"text": payload["text"].upper() + "!"}


async def on_chat(change, call):
    """Keeps a copy of `chat` in `loud`. A repeated change is harmless."""
    item = {"stream_name": "loud", "group_id": change["groupId"], "item_id": change["id"]}
    event = change["event"]
    if event["type"] == "delete":
        await call("stream::delete", item)
    elif event["type"] in ("create", "update"):
        await call("stream::set", {**item, "data": await shout(event["data"], call)})


FUNCTIONS = {"python::shout": shout, "python::on-chat": on_chat}
CONFIG = json.dumps({"stream_name": "chat", "retry": {"max_attempts": 5}})
TRIGGER = {"type": "stream", "function_id": "python::on-chat", "config": CONFIG}


class Failure(Exception):
    """The service refused something, or a call of ours failed."""


class Connection:
    """One stream to the service. Call ids are valid on their own stream only."""

    def __init__(self, identity):
        self.identity = identity  # Proves, on the next stream, that it is the same worker.
        self.unregistered = len(FUNCTIONS) + 1
        self.answering = {}  # Calls that we answer: id -> task.
        self.calls = {}  # Calls that we make: id -> future.
        self.outgoing = asyncio.Queue()
        self.say(hello={"worker_name": "python", "credits": CREDITS, **identity})

    def say(self, **message):
        self.outgoing.put_nowait(pb.ConnectRequest(**message))

    async def messages(self):
        while (message := await self.outgoing.get()) is not None:
            yield message

    async def run(self, leaving):
        """Returns when the service has ended the stream. Raises when it broke."""
        living = asyncio.create_task(self.live(leaving))
        # A payload may have 4 MiB, which is gRPC's default limit for a whole message.
        options = [("grpc.max_receive_message_length", 16 * 1024 * 1024)]
        try:
            async with grpc.aio.insecure_channel(ADDRESS, options) as channel:
                connect = stubs.WorkerServiceStub(channel).Connect
                stream = connect(self.messages(), metadata=HEADERS)
                # The service answers heartbeats: after a longer silence, it is gone.
                while (response := await asyncio.wait_for(stream.read(), 60)) is not grpc.aio.EOF:
                    self.receive(response)
        finally:
            self.outgoing.put_nowait(None)
            for task in [living, *self.answering.values(), *self.calls.values()]:
                task.cancel()

    async def live(self, leaving):
        while not await happens(leaving, 20):
            self.say(heartbeat={})
        self.say(goodbye={})  # When all calls are answered, the service ends the stream.

    def receive(self, response):
        kind = response.WhichOneof("message")
        message = getattr(response, kind) if kind else None
        if kind == "welcome":
            token = message.reattach_token
            self.identity = {"previous_worker_id": message.worker_id, "reattach_token": token}
            # On every stream: repeated registrations are harmless.
            for number, function_id in enumerate(FUNCTIONS, 1):
                self.say(register_function={"request_id": number, "function_id": function_id})
            self.say(register_trigger={"trigger_id": "chat", **TRIGGER})
        elif kind == "registered":
            check(message)
            self.unregistered -= 1
            if self.unregistered == 0:
                print("ready", flush=True)
        elif kind == "invoke":
            task = asyncio.create_task(self.invoke(message))
            self.answering[message.invocation_id] = task
            task.add_done_callback(partial(self.answer, message.invocation_id))
        elif kind == "cancel" and message.invocation_id in self.answering:
            self.answering[message.invocation_id].cancel()
        elif kind == "result" and message.invocation_id in self.calls:
            self.calls.pop(message.invocation_id).set_result(message)

    async def invoke(self, invoke):
        call = partial(self.call, cause=invoke.cause)
        return await FUNCTIONS[invoke.function_id](json.loads(invoke.payload), call)

    def answer(self, invocation_id, task):
        """Answers every call, a cancelled one too: that gives its credit back."""
        del self.answering[invocation_id]
        answer = {"invocation_id": invocation_id}
        try:
            if (result := task.result()) is not None:
                answer["result"] = text_of(result)
        except (Exception, asyncio.CancelledError) as error:
            message = f"{type(error).__name__}: {error}".encode(errors="replace").decode()
            answer["error"] = {"code": "invocation_failed", "message": message}
        self.say(result=answer)

    async def call(self, function_id, payload, cause):
        """Calls a function, wherever it is. `cause` is that of the call that we are answering."""
        call_id = uuid.uuid4().hex
        call = {"function_id": function_id, "payload": text_of(payload), "cause": cause}
        self.say(invoke={"invocation_id": call_id, **call})
        self.calls[call_id] = asyncio.get_running_loop().create_future()
        try:
            answer = await self.calls[call_id]
        finally:
            self.calls.pop(call_id, None)
        check(answer)
        return json.loads(answer.result) if answer.HasField("result") else None


def check(answer):
    if answer.HasField("error"):
        raise Failure(f"{answer.error.code}: {answer.error.message}")


def text_of(value):
    text = json.dumps(value)
    if len(text) > MAX_TEXT:
        raise ValueError(f"It is too large; it may have up to {MAX_TEXT} bytes of JSON.")
    return text


async def happens(event, seconds):
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False


async def main():
    leaving = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    identity, pause = {}, 1
    while not leaving.is_set():
        connection = Connection(identity)
        try:
            await connection.run(leaving)
        except (grpc.RpcError, asyncio.TimeoutError, Failure) as error:
            why = error.details() if isinstance(error, grpc.RpcError) else repr(error)
            print("the stream broke:", why, flush=True)
        identity = connection.identity
        pause = 1 if connection.unregistered == 0 else min(pause * 2, 30)
        await happens(leaving, pause * random.uniform(0.5, 1))


asyncio.run(main())
