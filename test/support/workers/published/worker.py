"""A worker of the published Python SDK: a function, a trigger that stores its payloads, `ready`."""

import json
import sys
import threading

from iii import InitOptions, register_worker

iii = register_worker(sys.argv[1], InitOptions(otel={"enabled": False}))


def shout(data):
    return {"text": data["text"].upper()}


def on_change(event):
    item = {
        "stream_name": "seen",
        "group_id": event["groupId"],
        "item_id": event["id"],
        "data": event["event"],
    }
    return iii.trigger({"function_id": "stream::set", "payload": item})


iii.register_function("published::shout", shout)
iii.register_function("published::on-change", on_change)
stream = {"stream_name": "chat"}
iii.register_trigger({"type": "stream", "function_id": "published::on-change", "config": stream})
# The service does not support this type; its refusal must not harm the worker.
iii.register_trigger({"type": "cron", "function_id": "published::shout", "config": {}})

iii.trigger({"function_id": "stream::list_all", "payload": {}})
listed = iii.trigger({"function_id": "engine::functions::list", "payload": {}})
print("ready", json.dumps(listed), flush=True)
threading.Event().wait()
