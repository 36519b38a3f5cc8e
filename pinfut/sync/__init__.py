"""Handing values and turns from task to task (`pinfut.sync`).

Built on the public future and waker alone, so it runs under any executor that keeps the
laws. Every queue is bounded, and a cancelled waiter never loses a value or a permit."""

from pinfut.sync.barrier import Barrier
from pinfut.sync.broadcast import BroadcastReceiver, BroadcastSender, Lagged, broadcast
from pinfut.sync.channel import Receiver, Sender, channel
from pinfut.sync.closed import Closed
from pinfut.sync.condition import Condition
from pinfut.sync.event import Event
from pinfut.sync.lock import Lock
from pinfut.sync.notify import Notify
from pinfut.sync.oneshot import OneshotSender, oneshot
from pinfut.sync.semaphore import Semaphore
from pinfut.sync.watch import WatchReceiver, WatchSender, watch

__all__ = [
    "Barrier", "BroadcastReceiver", "BroadcastSender", "Closed", "Condition", "Event", "Lagged",
    "Lock", "Notify", "OneshotSender", "Receiver", "Semaphore", "Sender", "WatchReceiver",
    "WatchSender", "broadcast", "channel", "oneshot", "watch",
]  # fmt: skip
