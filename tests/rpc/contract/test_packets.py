"""Row 23: packets move to the client in one batch, by its session, on every kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import Kernel, SessionSpec
from pinfut.rpc.errors import SessionClosed, StillPinned
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.memory.receive import ReceivePool
from tests.rpc.contract.pair import Pair


class Driver:
    """A server with packets in pages of its own, a client with buffers, and their session."""

    def __init__(self, kernel: Kernel, posted: int) -> None:
        self.bank: Bank = kernel.bank("driver", pages=20)  # type: ignore[attr-defined]
        self.receiver: Bank = kernel.bank("receiver", pages=20)  # type: ignore[attr-defined]
        self.pool = ReceivePool(self.receiver)
        for _ in range(posted):
            self.pool.post()
        self.pair = Pair(kernel, SessionSpec(slots=4, ring=4096, receive=self.pool))

    def packets(self, count: int) -> list[Region]:
        """So many, each with its number in it."""
        made = [Region(self.bank, 1) for _ in range(count)]
        for n, one in enumerate(made):
            one.buffer[:1] = bytes([n + 1])
        return made

    @property
    def used(self) -> tuple[int, int, int]:
        """Pages of the driver, the receiver, and who pays for the session."""
        return self.bank.pages_used, self.receiver.pages_used, self.pair.bank.pages_used

    @contextmanager
    def unchanged(self, packets: list[Region]) -> Iterator[None]:
        """In this block nothing moves, nobody pays, and nothing is dropped."""
        before = self.used, self.pool.posted, self.pool.dropped
        yield
        assert (self.used, self.pool.posted, self.pool.dropped) == before
        assert all(one.bank is self.bank for one in packets)
        assert self.pool.take() is None


def test_a_batch_moves_by_the_session_without_a_copy_and_is_paid_once(kernel: Kernel) -> None:
    on = Driver(kernel, posted=3)
    packets = on.packets(5)
    memory = [one.buffer.obj for one in packets]
    used = on.used
    mine = on.pair.far.move(packets, [1] * 5)
    assert on.used == used, "nobody pays for more than before"
    assert [one.bank for one in mine] == [on.bank] * 3, "buffers of the receiver's for packets"
    assert [one.bank for one in packets] == [on.receiver] * 3 + [on.bank] * 2
    assert (on.pool.delivered, on.pool.dropped, on.pool.posted) == (3, 2, 0)
    for n in range(3):
        taken = on.pool.take()
        assert taken is not None
        region, size = taken
        assert (size, region.buffer[0]) == (1, n + 1)
        assert region.buffer.obj is memory[n], "the page itself"
    # What it has in exchange is the driver's to use for the next ones.
    on.pool.post()
    (again,) = on.pair.far.move(mine[:1], [PAGE])
    assert again.bank is on.bank
    on.pair.close()


def test_of_a_batch_that_cannot_move_nothing_does(kernel: Kernel) -> None:
    on = Driver(kernel, posted=4)
    packets = on.packets(3)
    stranger = Region(on.pair.bank, 1)
    wide = Region(on.bank, 2)
    packets[2].pin()
    with on.unchanged(packets), pytest.raises(StillPinned):
        on.pair.far.move(packets, [1, 1, 1])
    packets[2].unpin()
    for others, sizes in (
        ([*packets, stranger], [1] * 4),
        ([*packets, wide], [1] * 4),
        ([*packets, packets[0]], [1] * 4),
        (packets, [1, 1]),
        (packets, [1, 1, PAGE + 1]),
        (packets, [1, -1, 1]),
    ):
        with on.unchanged(packets), pytest.raises(ValueError, match="packet"):
            on.pair.far.move(others, sizes)
    assert len(on.pair.far.move(packets, [1, 1, 1])) == 3
    on.pair.close()


def test_only_the_server_moves_and_only_to_a_client_that_takes_packets(kernel: Kernel) -> None:
    on = Driver(kernel, posted=1)
    packets = on.packets(1)
    with on.unchanged(packets), pytest.raises(ValueError, match="takes no packets"):
        on.pair.near.move(packets, [1])
    without = kernel.connect(on.pair.client, "it", on.pair.bank, SessionSpec(slots=1, ring=256))
    (far,) = on.pair.port.accept()
    with pytest.raises(ValueError, match="takes no packets"):
        far.move(packets, [1])
    without.close()
    far.close()
    on.pair.far.close()
    with on.unchanged(packets), pytest.raises(SessionClosed):
        on.pair.far.move(packets, [1])
    on.pair.close()


def test_packets_for_a_client_whose_bank_goes_are_dropped_and_stay_the_servers(
    kernel: Kernel,
) -> None:
    on = Driver(kernel, posted=2)
    packets = on.packets(2)
    destroy(on.receiver).step(1)
    assert on.pair.far.move(packets, [1, 1]) == []
    assert all(one.bank is on.bank for one in packets)
    assert on.pool.dropped == 2
    on.pair.close()
