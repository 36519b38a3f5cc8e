"""pinfut: a coroutine runtime in which memory is part of the contract.

This package is the future model: polling, waking, pinning, slots. `pinfut.executor`
runs tasks on it, and `pinfut.rpc` calls services over a kernel that charges."""

from typing import TYPE_CHECKING, Any

from pinfut.combinators import (
    EventContext,
    Selected,
    Shared,
    catch,
    fuse,
    join,
    lazy,
    map,
    poll_events,
    race,
    select,
    shared,
    then,
    try_join,
)
from pinfut.coroutine import CoroutineFuture, yield_now
from pinfut.future import FutureBase, drop, pending, poll_fn, ready
from pinfut.laws import (
    LAWS,
    BlockedInPoll,
    ContextKept,
    ForeignWake,
    FutureLock,
    LawError,
    LostWakeup,
    NeverTaken,
    PinError,
    PolledAfterReady,
    ReenteredExecutor,
    TakenTwice,
)
from pinfut.pin import Pinned, pin
from pinfut.poll import (
    PENDING,
    AsyncConstructor,
    Context,
    Future,
    Pending,
    PinnedFuture,
    Poll,
    Waker,
)
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
from pinfut.sync import (
    Barrier,
    BroadcastReceiver,
    BroadcastSender,
    Closed,
    Condition,
    Event,
    Lagged,
    Lock,
    Notify,
    OneshotSender,
    Receiver,
    Semaphore,
    Sender,
    WatchReceiver,
    WatchSender,
    broadcast,
    channel,
    oneshot,
    watch,
)

if TYPE_CHECKING:
    from pinfut.executor.hosts.guest import guest

__version__ = "0.1.0"

__all__ = [
    "END", "LAWS", "PENDING", "AsyncConstructor", "Barrier", "BlockedInPoll", "BroadcastReceiver",
    "BroadcastSender", "Closed", "Condition", "Context", "ContextKept", "CoroutineFuture", "Event",
    "EventContext", "ForeignWake", "Future", "FutureBase", "FutureLock", "FuturesOrdered",
    "FuturesUnordered", "Lagged", "LawError", "Lock", "LostWakeup", "NeverTaken", "Notify",
    "OneshotSender", "Pending", "PinError", "Pinned", "PinnedFuture", "Poll", "PolledAfterReady",
    "Receiver", "ReenteredExecutor", "Selected", "Semaphore", "Sender", "Shared", "SlotTable",
    "Stream", "StreamBase", "TakenTwice", "Waker", "WatchReceiver", "WatchSender", "broadcast",
    "buffer_unordered", "buffered", "catch", "channel", "drop", "from_async_generator",
    "from_iterable", "from_receiver", "fuse", "guest", "join", "lazy", "map", "merge", "oneshot",
    "pending", "pin", "poll_events", "poll_fn", "race", "ready", "select", "shared", "then",
    "try_join", "watch", "yield_now",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # The one name of the executor's that is given here, and loaded when it is asked for.
    if name != "guest":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pinfut.executor.hosts.guest import guest

    return guest
