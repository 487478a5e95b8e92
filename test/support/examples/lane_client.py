# Makes one call of each kind with grpcio, and prints the outcomes.
import sys

import grpc
from google.protobuf.struct_pb2 import Value

from millrace.v1 import stream_service_pb2 as pb
from millrace.v1 import stream_service_pb2_grpc as stubs

GROUP = {"stream_name": "s", "group_id": "python"}

with grpc.insecure_channel(sys.argv[1]) as channel:
    service = stubs.StreamServiceStub(channel)
    frames = service.Subscribe(pb.SubscribeRequest(**GROUP), timeout=10)
    print(next(frames).WhichOneof("frame"))
    item = {**GROUP, "item_id": "a"}
    done = service.Set(pb.SetRequest(**item, data=Value(number_value=1)), timeout=10)
    print("created" if done.created else "replaced")
    print(next(frames).WhichOneof("frame"))
    print("got", service.Get(pb.GetRequest(**item), timeout=10).item.data.number_value)
    send = pb.SendRequest(**GROUP, type="t", data=Value(bool_value=True))
    for response in service.Write(iter([pb.WriteRequest(request_id=7, send=send)]), timeout=10):
        print(response.request_id)
    frames.cancel()
