"""Status: whether a promise was kept, read where its answer will be.

An answer lies in memory that its caller has bought and can only read, behind a head with the id
of its call and a word that says what it is. That word is the status: to read it sends nothing,
asks no kernel, and changes nothing. It is advice, for the other side writes it when it likes. What
a promise stands for is decided where the answer is taken, with every check."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pinfut.executor.contract import JoinHandle
from pinfut.rpc.objects.interface import is_capability
from pinfut.rpc.objects.local import LocalPromise
from pinfut.rpc.objects.promise import BROKEN, EMBARGOED, PROMISED, UNSENT, Caller, Promise, Unsent
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.wire.frames import ERROR, RETURN
from pinfut.rpc.wire.questions import Question

Status: TypeAlias = Literal["pending", "fulfilled", "broken"]


def status(promise: object, /) -> Status:
    """Whether a call has ended, without waiting or taking its answer: "pending", "fulfilled", or
    "broken" when it failed. `promise`: what a call gave, a Promise or a proxy; an object that is
    there is "fulfilled". Raises TakenTwice when it was taken or released, and TypeError for
    anything else."""
    target = target_of(promise)
    if target is not None:
        if target.state in (UNSENT, PROMISED):
            # A promise of this process has no question: it settles when its call ends.
            known = target.state == PROMISED and target.caller.owner is not None
            return _of(target.caller, target.caller.questions.peek(target.id) if known else None)
        if target.state != BROKEN:
            target.require_usable()
            return "pending" if target.state == EMBARGOED and target.own is None else "fulfilled"
        return "broken"
    if isinstance(promise, Promise):
        return _of(promise.caller, promise.sent)
    if isinstance(promise, LocalPromise):
        return _of_task(promise.task)
    if is_capability(promise):
        return "fulfilled"
    raise TypeError(f"{promise!r} is nothing that a call gave")


def _of(caller: Caller, sent: Question | Unsent | None) -> Status:
    """Of what was sent, or waits for a slot."""
    if caller.error is not None:
        return "broken"
    if isinstance(sent, Unsent):
        if sent.task is not None:
            return _of_task(sent.task)
        if sent.slot is None:
            return "pending" if sent.error is None else "broken"
        sent = sent.slot
    if sent is None:
        return "pending"
    if sent.value is not None:  # read before its slot went to another
        early: Any = sent.value
        return "fulfilled" if early[1] is None else "broken"
    word = caller.submissions.peek(sent.place, sent.x)
    if word is None or word & 0xFF != RETURN:
        return "pending"
    return "broken" if word >> 8 & ERROR else "fulfilled"


def _of_task(task: JoinHandle[Any]) -> Status:
    if not task.done:
        return "pending"
    return "fulfilled" if task.error() is None else "broken"
