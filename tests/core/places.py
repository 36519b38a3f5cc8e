"""What the core replaces: the places, as names of Python's."""

from __future__ import annotations

import inspect
import json
import sys
from importlib import import_module
from types import WrapperDescriptorType
from typing import Any

PLACES = {
    "pinfut.executor": ("call_soon", "spawn"),
    "pinfut.executor.loop": ("Loop.run_turns",),
    "pinfut.executor.task": ("Task.cancel", "Task.poll", "Task.wake"),
    "pinfut.executor.timeout": ("Timeout.__enter__", "Timeout.__exit__", "timeout"),
    "pinfut.rpc.memory.lane": ("RingRequests.complete", "RingSubmissions.take_plain"),
    "pinfut.rpc.memory.ring": ("RingWriter.submit",),
    "pinfut.rpc.objects.promise": ("Promise.poll",),
    "pinfut.rpc.objects.proxy": ("submit_plain",),
    "pinfut.rpc.session.calls_in": ("CallsIn.on_call",),
    "pinfut.rpc.session.calls_out": ("CallsOut.take",),
    "pinfut.rpc.wire.peer": ("Peer.give", "Peer.receive"),
    "pinfut.slots": ("SlotTable.acquire", "SlotTable.release"),
    "pinfut.sync.channel": (
        *("Receiver.recv", "Sender.send", "_Recv.__await__", "_Recv.poll", "_Send.__await__"),
    ),
    "pinfut.sync.lock": ("Lock.__aenter__", "Lock.__aexit__"),
    "pinfut.sync.oneshot": ("_Oneshot.poll", "_Oneshot.send", "oneshot"),
}


def described(module: str, place: str) -> dict[str, Any]:
    """Its parameters, whether it is C, and the first paragraph of what it says."""
    found: Any = import_module(module)
    for name in place.split("."):
        found = getattr(found, name)
    parameters = [
        # Where a method is called `self` can be given by position only, whatever is written.
        [
            each.name,
            "" if each.name == "self" else each.kind.name,
            repr(each.default) if each.default is not each.empty else "",
        ]
        for each in inspect.signature(found).parameters.values()
    ]
    says = "" if type(found) is WrapperDescriptorType else found.__doc__  # Python's own words
    text = " ".join((says or "").strip().split("\n\n")[0].split())
    return {"parameters": parameters, "in_c": not hasattr(found, "__code__"), "says": text}


if __name__ == "__main__":
    json.dump(
        {f"{m}:{p}": described(m, p) for m, places in PLACES.items() for p in places}, sys.stdout
    )
