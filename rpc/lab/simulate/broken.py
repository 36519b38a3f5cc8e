"""Broken: an invariant that does not hold."""

from __future__ import annotations

from typing import Final, final

INVARIANTS: Final = {
    "owned is bought": "in every bank, what it owns is what was bought from it",
    "used is the sum": "in every bank, used is what it bought and what those below use",
    "limits hold": "no bank buys what it, or one above it, may not",
    "one owner": "an object, a page of an account, a place for an answer has one owner",
    "charged covers held": "what a session holds for its client is charged to that client",
    "no live id reused": "ids of calls only go up, and each stands in its slot",
    "outbound below outstanding": "taken and free slots are all there are; what runs at the server "
    "is outstanding at the client",
    "delivered below armed": "no more events of a source than were asked for, none twice",
    "exactly one last": "a source that ends says so once to who asks, and nothing comes after it",
    "lost is exact": "an event tells how many states came before it and were not kept",
    "each call once": "a handler is started once for each call",
    "each call ends once": "a call ends with a value or an error, once",
    "E-order": "calls on one object arrive in the order in which they were sent",
    "a value is its caller's": "what a caller gets is made of its own call and nothing else",
    "the payer is who caused it": "what a handler costs is paid below the bank of its caller",
    "pins hold": "what a pin scope holds is there until the scope ends",
    "honest sides keep to the protocol": "nobody is thrown out who was not tampered with",
    "publish, then signal": "what a signal announces is published when it arrives",
    "stored once, paid by each": "a shared value is made when the first subscribes and not again "
    "before the last has gone, and who leaves changes nobody's charge",
    "servers run on": "no client and no fault ends a server but a crash of the server",
    "handlers fail where they are told": "no handler meets an error that nobody caused",
    "what is released goes": "a server keeps nothing for a client that holds nothing",
    "no wakeup lost": "the newest event of an armed source arrives",
    "everything ends": "once the faults stop, all that was begun ends in bounded time",
    "banks are whole": "in the end every bank has back what it had",
    "one seed, one history": "a run again is the same run",
}
"""What has to hold, by name. An exception that nobody expects breaks "no <its type>"."""


@final
class Broken(Exception):
    """An invariant does not hold. `name` says which."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
