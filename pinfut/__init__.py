"""pinfut: a coroutine runtime in which memory is part of the contract.

This package is the future model: polling, waking, pinning, slots. `pinfut.executor`
runs tasks on it, and `pinfut.rpc` calls services over a kernel that charges.
"""

from pinfut.combinators import (
    Selected,
    Shared,
    catch,
    fuse,
    join,
    lazy,
    map,
    race,
    select,
    shared,
    then,
    try_join,
)
from pinfut.coroutine import CoroutineFuture, yield_now
from pinfut.future import Future, FutureBase, PinnedFuture, drop, pending, poll_fn, ready
from pinfut.laws import (
    LAWS,
    ContextKept,
    LawError,
    LostWakeup,
    PinError,
    PolledAfterReady,
    ReenteredExecutor,
    TakenTwice,
)
from pinfut.pin import Pinned, pin
from pinfut.poll import PENDING, Context, Pending, Poll, Waker
from pinfut.slots import SlotTable
from pinfut.streams import (
    END,
    FuturesOrdered,
    FuturesUnordered,
    Stream,
    StreamBase,
    buffer_unordered,
    buffered,
    from_async_generator,
    from_iterable,
    from_receiver,
    merge,
)
from pinfut.sync import Closed, channel, oneshot

__version__ = "0.1.0"

__all__ = [
    "END",
    "LAWS",
    "PENDING",
    "Closed",
    "Context",
    "ContextKept",
    "CoroutineFuture",
    "Future",
    "FutureBase",
    "FuturesOrdered",
    "FuturesUnordered",
    "LawError",
    "LostWakeup",
    "Pending",
    "PinError",
    "Pinned",
    "PinnedFuture",
    "Poll",
    "PolledAfterReady",
    "ReenteredExecutor",
    "Selected",
    "Shared",
    "SlotTable",
    "Stream",
    "StreamBase",
    "TakenTwice",
    "Waker",
    "buffer_unordered",
    "buffered",
    "catch",
    "channel",
    "drop",
    "from_async_generator",
    "from_iterable",
    "from_receiver",
    "fuse",
    "join",
    "lazy",
    "map",
    "merge",
    "oneshot",
    "pending",
    "pin",
    "poll_fn",
    "race",
    "ready",
    "select",
    "shared",
    "then",
    "try_join",
    "yield_now",
]
