"""The extension behind `pinfut.payers`; its sources are in `pinfut/native`."""

from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeVar, final

P = ParamSpec("P")
T = TypeVar("T")

@final
class Payer:
    """Who pays for memory. Sizes are pages of 4,096 bytes, where nothing else is said.

    Its methods are for any thread of the main interpreter. Raises RuntimeError until
    `pinfut.payers.install` was called, and where an adopted payer would be made current.
    """

    limit: int
    """With more than so many a firm step is over its limit. Soft ones never are."""

    def __new__(cls, limit: int, *, lot: int = 8) -> Payer: ...
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
    def bought(self) -> int:
        """What `paid` was told: so many are paid for."""

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

    def due(self) -> int:
        """How many pages to buy, or, below 0, to sell. Always whole lots: what was bought covers
        what is in use, with less than two lots to spare."""

    def paid(self, pages: int, /) -> None:
        """So many more are bought, or, below 0, sold. Raises ValueError for more than there are."""

    def adopt(self, other: Payer, /) -> int:
        """Pay for what is left of `other` until it is freed; how many pages that is now. `other`
        pays for nothing new. Raises RuntimeError where one of the two is adopted already."""

    def held(self, containers: list[object], /) -> list[tuple[object, object]]:
        """Each of the `containers` that lies elsewhere, with an object in it that lies here."""

    def audit(self) -> None:
        """Count all of it. Raises AssertionError where the accounts say something else. For tests:
        it takes a time like all pages of the process."""

def install(start: Callable[[], object], main: int, /) -> None: ...
def deliver() -> None: ...
def forked() -> None: ...
def collecting(phase: str, info: dict[str, int], /) -> None: ...
def off_call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it on nobody's account: with the allocator of Python itself."""

def owner(value: object, /) -> Payer | None:
    """In whose pages it lies; its heir, once that one was adopted; None for Python's own memory."""

def current() -> tuple[Payer | None, Literal["off", "soft", "firm"]]:
    """Who pays in this thread, and whether it may be refused."""

def stats() -> dict[str, int]:
    """Pages of the process: ``used``, ``kept`` (free, with memory behind them), ``top`` (ever used
    at one time), and ``range`` (all that there can be)."""

def reserve(pages: int | None = None, /) -> int:
    """How many pages a firm step may overdraw before an allocation fails; sets it if given."""
