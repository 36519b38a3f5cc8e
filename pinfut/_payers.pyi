"""The extension behind `pinfut.payers`; its sources are in `pinfut/native`."""

from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, final

P = ParamSpec("P")
T = TypeVar("T")

class Buyer(Protocol):
    """Who buys for a payer. An error that it raises is reported, and that is all."""

    def buy(self) -> None:
        """A firm step is over the limit: raise that, if it can be paid. Between two steps, or at a
        safe point of one, in the thread of the step."""

    def look(self) -> None:
        """Set `Payer.could`, and buy nothing. In any thread, at any time."""

@final
class Payer:
    """Who pays for memory. Sizes are pages of 4,096 bytes, where nothing else is said.

    Its methods are for any thread of the main interpreter. Raises RuntimeError until
    `pinfut.payers.install` was called. What an adopted payer would pay for is its heir's.
    """

    limit: int
    """So many are paid for: with more a firm step is over its limit. Soft ones never are."""
    could: int
    """How far the limit could be raised, as far as is known. A thread that cannot buy may go so
    far, and one large allocation, a coroutine's step in the main thread 16 pages of that; the rest
    is settled later."""
    buyer: Buyer | None
    """Asked before a firm step is refused."""

    def __new__(cls, limit: int) -> Payer: ...
    @property
    def pages(self) -> int:
        """In use, adopted ones included. What blocks leave of a page is the payer's loss."""

    @property
    def used(self) -> int:
        """Bytes in blocks, rounded up to the sizes that there are."""

    @property
    def blocks(self) -> int:
        """Blocks in use, without those of payers that it adopted."""

    @property
    def peak(self) -> int:
        """Most pages so far."""

    @property
    def adopted(self) -> int:
        """Pages that other payers have left to it and that are still in use."""

    @property
    def raised(self) -> int:
        """How many MemoryErrors it was sent."""

    @property
    def refused(self) -> int:
        """How many allocations have failed, above the limit and the whole reserve."""

    def send(self, coro: Coroutine[Any, Any, Any], value: object, /) -> Any:
        """A firm step, in all else as ``CoroutineType.send(coro, value)``; of native ones only.

        Where it parks over the limit, what it waits for is given up, and MemoryError is thrown
        into it; where it then parks over the limit, it is closed, and MemoryError raised.
        """

    def throw(self, coro: Coroutine[Any, Any, Any], error: BaseException, /) -> Any:
        """A firm step in which `error` is raised where `coro` waits. It ends as `send` does."""

    def soft_call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it, charged to this payer and never refused."""

    def firm_call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it, charged; over the limit, MemoryError is raised in it at a safe point."""

    def settle(self) -> int:
        """How many pages it is over its limit; collects garbage before it says more than 0,
        unless that would take more than a twentieth of the time."""

    def due(self, paid: int, apart: int = 0, /) -> int:
        """So many pages are paid for, less `apart` bytes; that is its limit now. How many to buy
        more, or, below 0, to sell, so that what is paid for covers what is in use, and one page."""

    def context(self, variables: Context, /) -> Context:
        """In place of these context variables, with `run` and `copy` alone: ``run(send, coro,
        value)``, with the `send` of coroutines, is a firm step, any other call a firm call."""

    def adopt(self, other: Payer, /) -> int:
        """Pay for what is left of `other` until it is freed, and for what it would pay for; how
        many pages that is now. Raises RuntimeError where one of the two is adopted already."""

    def owns(self, value: object, /) -> bool:
        """Whether it lies here, or with a payer that this one has adopted."""

paying: object
"""What the core in C has of this, for each step of a coroutine that somebody pays for."""

def install(
    start: Callable[[], object], main: int, let_go: Callable[[object], object], /
) -> None: ...
def deliver() -> None: ...
def forked() -> None: ...
def collecting(phase: str, info: dict[str, int], /) -> None: ...
def off_call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it on nobody's account: with the allocator of Python itself."""

def copy_context() -> Context:
    """As that of `contextvars`; where somebody pays, what is run in the copy is paid, too."""

def owner(value: object, /) -> Payer | None:
    """In whose pages it lies; its heir, once that one was adopted; None for Python's own memory."""

def current() -> tuple[Payer | None, Literal["off", "soft", "firm"]]:
    """Who pays in this thread, and whether it may be refused."""

def stats() -> dict[str, int]:
    """Pages of the process: ``used``, ``kept`` (free, with memory behind them), ``top`` (ever used
    at one time), and ``range`` (all that there can be)."""

def reserve(pages: int | None = None, /) -> int:
    """How many pages a firm step may overdraw before an allocation fails; sets it if given."""
