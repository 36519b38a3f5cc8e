"""What other frameworks' parts do in a task here, and what is said of it.

There is no stand-in for a running loop of asyncio: libraries that ask get the true answer."""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from typing import Final

from pinfut.executor.current import running

_OWN: Final = {
    "asyncio": "asyncio.run",
    "trio": "trio.run",
    "anyio": "anyio.run",
    "sniffio": "anyio.run",
}

_NO_LOOP: Final = "no running event loop"


def explain(error: BaseException) -> None:
    """Add the way out to an error of another framework's that a task here has ended with."""
    if not (type(error) is RuntimeError or type(error) is AttributeError):
        return  # of a class that may have its own idea of what follows
    traceback = error.__traceback__
    if traceback is None or hasattr(error, "__notes__"):
        return
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = str(traceback.tb_frame.f_globals.get("__name__", ""))
    name = "asyncio" if str(error) == _NO_LOOP else module.partition(".")[0]
    run = _OWN.get(name)
    if run is not None:
        way = f"a thread: await to_thread({run}, ...)"
        if running.host is not None:
            way = "a task of the host's: await to_host(...)"
        error.add_note(
            f"This is a task of pinfut, where {name} has no loop. Use the counterpart in pinfut "
            f"(docs/coming-from-asyncio.md), or {way}"
        )


def running_beside() -> str | None:
    """The framework whose loop would stand still in this thread; None without, and in a browser."""
    if sys.platform == "emscripten":
        return None
    if _get_running_loop() is not None:
        return "asyncio"
    trio = sys.modules.get("trio")
    return "trio" if trio is not None and trio.lowlevel.in_trio_run() else None
