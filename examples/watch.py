# Sets an item and watches its group, over gRPC. The README says how to make the stubs and run it.
import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from millrace.v1 import stream_service_pb2 as pb
from millrace.v1 import stream_service_pb2_grpc as stubs

channel = grpc.insecure_channel("127.0.0.1:3112")
client = stubs.StreamServiceStub(channel)
group = {"stream_name": "chat", "group_id": "lobby"}

# A value is a google.protobuf.Value: any JSON.
data = ParseDict({"text": "hello from Python"}, Value())
done = client.Set(pb.SetRequest(**group, item_id="m3", data=data))
print("written as revision", done.position.revision, flush=True)

# First the state, in one or more parts, then every change.
try:
    for response in client.Subscribe(pb.SubscribeRequest(**group)):
        kind = response.WhichOneof("frame")
        if kind == "sync":
            for item in response.sync.items:
                print("has", item.item_id, MessageToDict(item.data), flush=True)
        elif kind == "change":
            change = response.change
            print("change", change.item_id, MessageToDict(change.data), flush=True)
except KeyboardInterrupt:
    pass
