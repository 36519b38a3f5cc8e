"""Block: a stretch of a coroutine that can interrupt its own run, or keep others from it.

The blocks of a coroutine (timeouts, scopes, shields) form a chain, innermost first. What comes from
further out, a block that fires or a cancel, is raised as CancelledError: it *passes* through every
block that is open then, and belongs to none that is opened later. States::

    made ──open──▶ open ──fire──▶ fired ──close──▶ closed: the interrupt is its own to turn
                    │ │             │
                    │ └──admit──────┴──▶ passed ──close──▶ closed: the interrupt goes on; it is
                    │                                      raised anew, at the next wait, when
                    │                                      another error has taken its place
                    └──one further out closes first──▶ stranded ──close──▶ closed: RuntimeError

A shield admits nothing: it holds what comes from further out, and sends it on when it closes.
A coroutine that ends inside of a block (an async generator holds it) fails with RuntimeError."""

from __future__ import annotations

import gc
from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType, MethodType
from typing import Any, Final, final

from pinfut.core import accelerate
from pinfut.coroutine import Interruptible, driver
from pinfut.executor.contract import Runner
from pinfut.executor.current import current_executor, running
from pinfut.places import caller


class _Closed:
    __slots__ = ()

    block = None


_CLOSED: Final = _Closed()

_PENDING: Final = 1
_RAISED: Final = 2


@final
class _Stranded:
    """In place of the owner: a block further out was left first."""

    __slots__ = ("by", "owner")

    block = None

    def __init__(self, owner: Interruptible, by: str) -> None:
        self.owner = owner
        self.by = by


class Block:
    """A block that is opened once. For timeouts, scopes and shields."""

    __slots__ = ("_owner", "_passed", "executor", "fired", "outer")

    # Invariant: whose chain it stands in; None before it is opened, _CLOSED after.
    _owner: Interruptible | _Stranded | _Closed | None
    # The block further out, or the owner, whose interrupt has come in; None when none has.
    _passed: Block | Interruptible | None
    outer: Block | None  # the next block further out in the same coroutine
    # False (0 is slower to test), _PENDING until it can interrupt its owner, then _RAISED.
    fired: int
    executor: Runner

    def __init__(self) -> None:
        self.fired = False
        self._owner = None

    def open(self) -> Runner:
        """Enter the block. Raises NoExecutor outside of any task, RuntimeError the second time."""
        if self._owner is not None:
            raise RuntimeError(f"a {type(self).__name__.lower()} is entered once; make a new one")
        executor = running.executor or current_executor()
        owner: Any = driver()
        if owner is None:
            owner = executor.current
            if owner is None:
                owner = executor.ensure_task()
        self.executor = executor
        self._passed = None
        self.outer = owner.block
        self._owner = owner
        owner.block = self
        return executor

    def fire(self) -> None:
        """Interrupt the coroutine, once."""
        if not self.fired:
            self.fired = _PENDING
            self._interrupt()

    def _interrupt(self) -> None:
        owner = self._owner
        if type(owner) is _Stranded:
            owner = owner.owner
        if (
            owner is not None
            and not isinstance(owner, _Closed)
            and _raised_in(owner, self, self._interrupt, self.executor)
        ):
            self.fired = _RAISED

    def admit(self, source: Block | None, again: Callable[[], object]) -> bool:
        """May an interrupt from `source` (a block of the chain; None: the whole run) come in here,
        the innermost block? If so, it passes through the blocks in between, and the owner is
        interrupted next; if a shield is among them, that has ``again()`` called when it has
        ended."""
        inner: Block | None = self
        while inner is not source and inner is not None:
            if type(inner) is Shield:
                inner.hold(again)
                return False
            inner = inner.outer
        inner = self
        while inner is not source and inner is not None:
            inner._passed = source or _owner_of(inner)
            inner = inner.outer
        return True

    def close(self, error: object) -> bool:
        """Leave the block, with the `error` that comes out of it or None. True when it has fired
        and the interrupt is its own to turn. Raises RuntimeError when a block further out was
        left before."""
        owner: Any = self._owner  # an Interruptible, mostly: it is open
        if owner.block is self:
            owner.block = self.outer
        else:
            self._leave_out_of_order()
        self._owner = _CLOSED
        if self._passed is None:
            return not self._is_pending_outside() if self.fired else False
        if issubclass(type(error), (Exception, BaseExceptionGroup)):
            # It has taken the place of the CancelledError, and may be caught further out.
            executor, source = self.executor, self._passed
            if isinstance(source, Block):
                source.fired = _PENDING
                executor.call_soon(source._interrupt)
            else:
                executor.call_soon(_cancel_anew, source, executor)
        return False

    def _is_pending_outside(self) -> bool:
        """Whether a block further out, before a shield, has fired and is still to interrupt."""
        outer = self.outer
        while outer is not None and type(outer) is not Shield:
            if outer.fired == _PENDING:
                return True
            outer = outer.outer
        return False

    def _leave_out_of_order(self) -> None:
        owner = self._owner
        self._owner = _CLOSED
        if type(owner) is _Closed:
            return  # its coroutine has ended before, and with an error for this
        by = owner.by if type(owner) is _Stranded else None
        chain: Any = owner.owner if type(owner) is _Stranded else owner
        here = f"{self!r}, left at {caller()}"
        inner: Block | None = chain.block
        if inner is self:
            chain.block = self.outer
        while inner is not None and inner is not self:
            if type(inner._owner) is not _Stranded:
                inner._owner = _Stranded(chain, here)
            if inner.outer is self:
                inner.outer = self.outer
                break
            inner = inner.outer
        if by is not None:
            raise RuntimeError(
                f"blocks were left out of order: {here}, was opened inside of {by}, and outlived "
                "it. An async generator must not yield inside of a block, and an ExitStack must "
                "not outlive the block in which it was filled"
            )

    def outlive(self, error: BaseException | None) -> None:
        """The coroutine has ended, with `error` or None, and this block, its innermost, is open.
        Closes all of its blocks. Raises RuntimeError unless `error` is one that says more."""
        lost: Block | None = self
        told = error is not None
        owner: Any = _owner_of(self)
        owner.block = None
        held = ""
        while lost is not None:
            # The interrupt of a block that is open in no coroutine: nobody else will tell.
            told = told and not (lost.fired and issubclass(type(error), CancelledError))
            held += f" and {lost!r}, held by {_holder(lost)}" if not told else ""
            lost._owner = _CLOSED
            lost = lost.outer
        if not told:
            raise RuntimeError(
                f"a coroutine ended and left open:{held[4:]}. An async generator must not yield "
                "inside of a block unless it is closed in the same coroutine"
            ) from error


def _owner_of(block: Block) -> Any:
    """The Interruptible that an open block belongs to."""
    owner = block._owner
    return owner.owner if type(owner) is _Stranded else owner


def _raised_in(
    owner: Interruptible, source: Block | None, again: Callable[[], object], executor: Runner
) -> bool:
    """Interrupt `owner` for `source`, or have ``again()`` called when that can be done."""
    if owner.running:
        # It may have left the block before it waits.
        executor.call_soon(again)
        return False
    if owner.block is not None and not owner.block.admit(source, again):
        return False
    owner.interrupt()
    return True


def _cancel_anew(owner: Interruptible, executor: Runner) -> None:
    """Raise a cancel again that was replaced by another error. It is not counted again."""
    _raised_in(owner, None, partial(_cancel_anew, owner, executor), executor)


def _holder(block: Block) -> str:
    """Where the generator waits that keeps `block` open, as the collector knows."""
    for holder in gc.get_referrers(block):
        users = gc.get_referrers(holder) if type(holder) is MethodType else [holder]
        for user in users:
            frame = _frame(user)
            if frame is not None:
                code = frame.f_code
                return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
    return "nobody known"


def _frame(user: object) -> Any:
    if isinstance(user, AsyncGeneratorType):
        return user.ag_frame
    if isinstance(user, GeneratorType):
        return user.gi_frame
    return user.cr_frame if isinstance(user, CoroutineType) else None


@final
class Shield(Block):
    """A block that is not interrupted from outside: ``with shield(): await save()``. What a cancel
    or a timeout around it wanted happens at the first wait after it. Put a timeout inside."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        super().__init__()
        # What was held, each at most once: the task's cancel, and the blocks further out.
        self._held: dict[Callable[[], object], None] = {}

    def hold(self, interrupt: Callable[[], object]) -> None:
        """Have `interrupt` called when the shield has ended."""
        self._held[interrupt] = None

    def __enter__(self) -> None:
        self.open()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            self.close(error)
        finally:
            for interrupt in self._held:
                self.executor.call_soon(interrupt)

    def __repr__(self) -> str:
        return "shield()"


shield = Shield

accelerate(globals())
