# Follows a group, and prints its state after each change. docs/python.md says how to run it.
import asyncio
import json
import os
import random
import sys

import grpc
from google.protobuf.json_format import MessageToDict

from millrace.v1 import stream_service_pb2 as pb
from millrace.v1 import stream_service_pb2_grpc as stubs

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:3112"
GROUP = {"stream_name": "chat", "group_id": "lobby"}
HEADERS = [("authorization", f"Bearer {os.environ['TOKEN']}")] if "TOKEN" in os.environ else None


class Follower:
    """An exact copy of the group, and its position."""

    def __init__(self):
        self.state = {}
        self.position = None
        self.parts = {}  # Of a state that is not complete yet.
        self.failures = 0

    async def run(self):
        while True:
            try:
                await self.follow()
                print("the stream has ended", flush=True)
            except (grpc.RpcError, asyncio.TimeoutError) as error:
                why = error.details() if isinstance(error, grpc.RpcError) else repr(error)
                print("the stream broke:", why, flush=True)
            await asyncio.sleep(min(2**self.failures, 30) * random.uniform(0.5, 1))
            self.failures += 1

    async def follow(self):
        request = pb.SubscribeRequest(**GROUP, resume_from=self.position)
        async with grpc.aio.insecure_channel(ADDRESS) as channel:
            stream = stubs.StreamServiceStub(channel).Subscribe(request, metadata=HEADERS)
            # A heartbeat comes every 15 s: after a longer silence, the service is gone.
            while (response := await asyncio.wait_for(stream.read(), 60)) is not grpc.aio.EOF:
                self.failures = 0
                self.take(response)

    def take(self, response):
        kind = response.WhichOneof("frame")
        if kind == "resumed":
            print("resumed at revision", response.resumed.position.revision, flush=True)
        elif kind == "sync":
            if response.sync.first:
                self.parts = {}
            for item in response.sync.items:
                self.parts[item.item_id] = MessageToDict(item.data)
            if response.sync.last:
                self.state = self.parts
                self.reach(response.sync.position)
        elif kind == "change":
            change = response.change
            if change.type == pb.CHANGE_TYPE_DELETE:
                self.state.pop(change.item_id, None)
            else:
                self.state[change.item_id] = MessageToDict(change.data)
            self.reach(change.position)
        elif kind == "heartbeat":
            self.position = response.heartbeat.position

    def reach(self, position):
        self.position = position
        print(json.dumps(self.state), flush=True)


try:
    asyncio.run(Follower().run())
except KeyboardInterrupt:
    pass
