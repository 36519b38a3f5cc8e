"""Imports: the other side's objects that this side holds, with exact counts.

A Release names how often the object was received by the time it is sent. If it crosses a
message that hands the object out once more, the other side's count stays above zero and
nothing is lost. An object that comes while a proxy of it is held is that proxy, paid once."""

from __future__ import annotations

from typing import Any, Final, final
from weakref import ref

from pinfut.rpc import prices
from pinfut.rpc.contract import Account
from pinfut.rpc.wire.charge import pay, refund

_SMALL: Final = 16


@final
class Imports:
    """Counts by id. `account` pays for each proxy on the serving side: a capability, and bytes."""

    __slots__ = ("_counts", "_high", "account", "fresh")

    def __init__(self, account: Account | None = None) -> None:
        self.account = account
        # id -> [how often received, how many proxies stand for it, the last of these]
        self._counts: dict[int, list[Any]] = {}
        self._high = _SMALL  # the most entries since the table was last made small
        self.fresh = 0  # how many proxies were made since somebody set this to 0

    def __len__(self) -> int:
        return len(self._counts)

    def receive(self, number: int) -> None:
        """A message handed the object over, and a proxy was made for it. Raises OutOfPages,
        OutOfCaps."""
        if self.account is not None:
            pay(self.account, prices.IMPORT, "a capability received")
        self.fresh += 1
        counts = self._counts.get(number)
        if counts is None:
            self._counts[number] = [1, 1, None]
            self._high = max(self._high, len(self._counts))
        else:
            counts[0] += 1
            counts[1] += 1

    def stand_for(self, number: int, proxy: object) -> None:
        """`proxy` is what was made for it: when it comes again, it is this one."""
        self._counts[number][2] = ref(proxy)

    def proxy_of(self, number: int) -> Any:
        """The proxy that stands for an object already; None when there is none."""
        counts = self._counts.get(number)
        return None if counts is None or counts[2] is None else counts[2]()

    def sole(self, number: int) -> Any:
        """The same, if no other stands for it."""
        return (
            self.proxy_of(number) if self.holds(number) and self._counts[number][1] == 1 else None
        )

    def proxies(self) -> list[Any]:
        """Of each the same."""
        return [self.proxy_of(number) for number in self._counts]

    def holds(self, number: int) -> bool:
        """Whether there is a proxy for it."""
        return number in self._counts

    def again(self, number: int) -> None:
        """A message handed it over once more, and the proxy that is there stands for it."""
        self._counts[number][0] += 1

    def drop(self, number: int) -> int:
        """A proxy is gone. With the last one, how often to release the object; else 0."""
        counts = self._counts.get(number)
        if counts is None:
            return 0
        if self.account is not None:
            refund(self.account, prices.IMPORT)
        counts[1] -= 1
        if counts[1]:
            return 0
        del self._counts[number]
        if len(self._counts) * 4 <= self._high:
            # Or the table stays as large as it has been, and nobody pays for that.
            self._counts = dict(self._counts)
            self._high = max(len(self._counts), _SMALL)
        received: int = counts[0]
        return received

    def close(self) -> None:
        """Forget every import."""
        if self.account is not None:
            for counts in self._counts.values():
                for _ in range(counts[1]):
                    refund(self.account, prices.IMPORT)
        self._counts.clear()

    @property
    def charged(self) -> int:
        """Bytes charged for what is held."""
        if self.account is None:
            return 0
        held: int = sum(counts[1] for counts in self._counts.values())
        return prices.IMPORT * held
