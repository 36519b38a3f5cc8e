"""Block: a stretch of a coroutine that can interrupt its own run, or keep others from it.

The blocks of a coroutine (timeouts, scopes, shields) form a chain, innermost first. An
interrupt travels outwards as CancelledError, and of several blocks that have fired the
outermost turns it into its error. A shield holds what comes from further out until it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, final

from pinfut.coroutine import Interruptible, driver
from pinfut.executor.contract import Runner
from pinfut.executor.current import current_executor, running


class _Closed:
    __slots__ = ()


_CLOSED: Final = _Closed()


class Block:
    """A block that is opened once. For timeouts, scopes and shields."""

    __slots__ = ("_delivered", "_owner", "executor", "fired", "outer")

    # Invariant: whose run the block is part of; None before it is opened, _CLOSED after.
    _owner: Interruptible | _Closed | None
    # How many cancels the owner had seen when the block was opened.
    _delivered: int
    # The next block further out in the same coroutine.
    outer: Block | None
    # Whether it has interrupted its owner, or would have but for a shield.
    fired: bool
    executor: Runner

    def __init__(self) -> None:
        self.fired = False
        self._owner = None

    def open(self) -> Runner:
        """Enter the block. Raises NoExecutor outside of any task, and RuntimeError when it was
        entered before."""
        if self._owner is not None:
            raise RuntimeError(f"a {type(self).__name__.lower()} is entered once; make a new one")
        executor = running.executor or current_executor()
        owner = driver() or executor.current or executor.ensure_task()
        self.executor = executor
        self._owner = owner
        self._delivered = owner.delivered
        self.outer = owner.block
        owner.block = self
        return executor

    def fire(self) -> None:
        """Interrupt the coroutine, once."""
        if not self.fired:
            self.fired = True
            self._interrupt()

    def _interrupt(self) -> None:
        owner = self._owner
        if owner is None or isinstance(owner, _Closed):
            return
        shield = owner.block.shield_inside(self)
        if shield is not None:
            shield.hold(self._interrupt)
        elif owner.running:
            # It may have left the block before it waits.
            self.executor.call_soon(self._interrupt)
        else:
            owner.interrupt()

    def close(self) -> bool:
        """Leave the block. True when it has fired and the interrupt is its own to turn:
        nobody cancelled from outside meanwhile, and no block around it has fired, up to the
        first shield: what that holds has not reached the coroutine."""
        owner: Any = self._owner  # an Interruptible: it is open
        self._owner = _CLOSED
        owner.block = outer = self.outer
        self.outer = None  # a dead entry of a timeout may stay among the timers
        if not self.fired or owner.cancels != self._delivered:
            return False
        while outer is not None and type(outer) is not Shield:
            if outer.fired:
                return False
            outer = outer.outer
        return True

    def shield_inside(self, block: Block | None) -> Shield | None:
        """The innermost shield from here up to `block`, which is further out, or to the end."""
        inner: Block | None = self
        while inner is not None and inner is not block:
            if isinstance(inner, Shield):
                return inner
            inner = inner.outer
        return None


@final
class Shield(Block):
    """``with shield(): ...``: cancels and timeouts from outside of it wait until it ends."""

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        for interrupt in self._held:
            interrupt()


def shield() -> Shield:
    """A block that is not interrupted from outside: ``with shield(): await save()``.

    What a cancel or a timeout around it wanted happens at the first wait after the block.
    Use it around a clean-up that must be whole, with a timeout inside. It protects the run of
    a task; a coroutine that a combinator polls in place is closed when it is dropped.
    """
    return Shield()
