"""Handing values and turns from task to task (`pinfut.sync`).

Built on the public future and waker alone, so it runs under any executor that keeps the
laws. Every queue is bounded, and a cancelled waiter never loses a value or a permit.
"""

from pinfut.sync.channel import Receiver, Sender, channel
from pinfut.sync.closed import Closed
from pinfut.sync.oneshot import OneshotSender, oneshot

__all__ = ["Closed", "OneshotSender", "Receiver", "Sender", "channel", "oneshot"]
