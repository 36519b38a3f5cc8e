"""pinfut in programs of asyncio (docs/hosts.md)."""

import asyncio
import sys

from pinfut.executor.hosts.asyncio_loop import EventLoop, new_event_loop, run

__all__ = ["EventLoop", "new_event_loop", "run"]

if sys.version_info < (3, 14):
    __all__ += ["EventLoopPolicy"]

    class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
        """For programs that name no loop: theirs is pinfut's."""

        _loop_factory = EventLoop
