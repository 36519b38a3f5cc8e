"""Capabilities lie in memory of the kernel's: who names what it does not hold is refused by it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import (
    CALLS,
    MAX_CAPS,
    RECEIVER,
    RECEIVER_ANSWER,
    SENDER,
    Cap,
    Endpoint,
    Kernel,
)
from pinfut.rpc.errors import (
    GarbageFrame,
    MessageTooLarge,
    OutOfPages,
    RpcError,
    SessionClosed,
    UnknownObject,
)
from tests.covered import covered
from tests.rpc.contract.pair import SPEC, Pair

PLACE = 3


def own(*numbers: int) -> list[Cap]:
    """Objects of the side that hands them over."""
    return [Cap(SENDER, number, 7) for number in numbers]


def theirs(number: int) -> list[Cap]:
    """An object of the other side."""
    return [Cap(RECEIVER, number, 7)]


def holds(end: Endpoint, number: int) -> bool:
    """Whether a side can name an object of the other."""
    try:
        end.hand_over(theirs(number), PLACE)
    except UnknownObject:
        return False
    return True


def test_capabilities_come_as_they_were_handed_over_in_order_and_once(kernel: Kernel) -> None:
    pair = Pair(kernel)
    for to, back in ((pair.near, pair.far), (pair.far, pair.near)):
        to.hand_over(own(1, 2))
        to.hand_over([Cap(RECEIVER_ANSWER, 5, 9)])
        to.hand_over(own(3), PLACE)
        to.hand_over(own(4), PLACE + 1)
        assert back.take_over(1, PLACE + 1) == tuple(own(4))
        assert back.take_over(2) == tuple(own(1, 2))
        assert back.take_over(1, PLACE) == tuple(own(3))
        assert back.take_over(1) == (Cap(RECEIVER_ANSWER, 5, 9),)
        for place in (-1, PLACE, PLACE + 1):
            with pytest.raises(GarbageFrame):
                back.take_over(1, place)
    pair.close()
    assert pair.used == (0, 0)


def test_a_message_that_says_another_number_than_was_handed_over_gets_none(kernel: Kernel) -> None:
    pair = Pair(kernel)
    pair.near.hand_over(own(1, 2))
    pair.far.hand_over(own(1, 2), PLACE)
    for wrong in (1, 3, 1000, 65535):
        with pytest.raises(GarbageFrame):
            pair.far.take_over(wrong)
        with pytest.raises(GarbageFrame):
            pair.near.take_over(wrong, PLACE)
    assert pair.far.take_over(2) == pair.near.take_over(2, PLACE) == tuple(own(1, 2))
    pair.close()


def test_a_side_names_what_was_handed_to_it_and_nothing_else(kernel: Kernel) -> None:
    pair = Pair(kernel)
    for one, other in ((pair.near, pair.far), (pair.far, pair.near)):
        assert not holds(other, 6)
        one.hand_over(own(6))
        assert holds(other, 6)
        assert not holds(one, 6), "its own number is no object of the other side"
        assert not holds(other, 7)
        one.take_back(6)
        one.take_back(6)
        assert not holds(other, 6)
    # What is no capability at all, and a promise where an answer is.
    for kind, number in ((0, 0), (4, 0), (99, 5), (SENDER, -1), (SENDER, 1 << 64)):
        with pytest.raises(UnknownObject):
            pair.near.hand_over([Cap(kind, number, 7)])
    with pytest.raises(UnknownObject):
        pair.far.hand_over([Cap(RECEIVER_ANSWER, 5, 9)], PLACE)
    pair.close()
    assert pair.used == (0, 0)


def test_two_sessions_hold_nothing_of_each_other(kernel: Kernel) -> None:
    pair = Pair(kernel)
    other = kernel.connect(pair.client, "it", pair.bank, SPEC)
    pair.far.hand_over(own(6), PLACE)
    assert holds(pair.near, 6)
    assert not holds(other, 6), "not even the same process, over another session"
    pair.close()
    other.close()
    for end in pair.port.accept():
        end.close()


def test_of_what_cannot_be_handed_over_whole_nothing_is(kernel: Kernel) -> None:
    pair = Pair(kernel)
    used = pair.used
    for wrong in (theirs(9), [Cap(0, 1, 1)], own(1 << 64)):
        with pytest.raises(UnknownObject):
            pair.near.hand_over([*own(5), *wrong])
        assert not holds(pair.far, 5)
    with pytest.raises(MessageTooLarge):
        pair.near.hand_over(own(5) * (MAX_CAPS + 1))
    # And without pages for their entries.
    pair.bank.refill(-pair.bank.balance.pages)
    with pytest.raises(OutOfPages, match="entries for capabilities"):
        pair.near.hand_over(own(*range(5, 30)))
    assert not holds(pair.far, 5)
    with pytest.raises(GarbageFrame):
        pair.far.take_over(1)
    assert pair.used == used
    pair.bank.refill(100)
    pair.near.hand_over(own(5) * MAX_CAPS)
    assert holds(pair.far, 5)
    pair.close()
    assert pair.used == (0, 0)


def test_entries_are_bought_before_anything_lies_in_them_and_sold_when_empty(
    kernel: Kernel,
) -> None:
    pair = Pair(kernel, pages=2000)
    idle = pair.used
    most = 0
    for _ in range(3):
        for n in range(40):
            pair.near.hand_over(own(*range(10 * n, 10 * n + 10)))
            most = max(most, pair.used[0] - idle[0])
        for _ in range(40):
            pair.far.take_over(10)
        held = pair.used[0] - idle[0]
        for number in range(400):
            pair.near.take_back(number)
        assert pair.used == idle
    assert most >= 2 * held - 1 > 2, "what is held, and as much on its way"
    # What its caller never takes is paid once for each place.
    for n in range(200):
        pair.far.hand_over(own(1), PLACE + n % 2)
    assert pair.used == idle
    pair.close()
    assert pair.used == (0, 0)


ENDS: dict[str, Callable[[Pair], object]] = {
    "the client closes": lambda pair: pair.near.close(),
    "the server closes": lambda pair: pair.far.close(),
    "the client dies": lambda pair: pair.kernel.kill(pair.client),
    "the server dies": lambda pair: pair.kernel.kill(pair.server),
    "the bank is destroyed": lambda pair: destroy(pair.bank).step(1000),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("step", range(6))
def test_whoever_ends_the_session_at_whatever_step_every_entry_goes_back(
    kernel: Kernel, how: str, step: int
) -> None:
    """And the side that is left is refused, or takes what is under way; it is never harmed."""
    pair = Pair(kernel)
    many = range(50)
    steps: list[Callable[[], object]] = [
        lambda: pair.near.hand_over(own(*many)),
        lambda: pair.far.take_over(50),
        lambda: pair.far.hand_over([*own(*many), *theirs(3)], PLACE),
        lambda: pair.near.take_over(51, PLACE),
        lambda: pair.near.take_back(3),
        lambda: pair.far.hand_over(own(1), PLACE),
    ]
    for do in steps[:step]:
        do()
    ENDS[how](pair)
    went = refused = 0
    for do in steps[step:]:
        try:
            do()
            went += 1
        except RpcError:
            refused += 1
    covered("capabilities when a session ends", went=went, refused=refused)
    pair.close()
    assert pair.used == (0, 0)


def test_who_has_let_go_hands_nothing_over_and_may_take_back(kernel: Kernel) -> None:
    pair = Pair(kernel)
    pair.near.hand_over(own(1))
    pair.near.close()
    with pytest.raises(SessionClosed):
        pair.near.hand_over(own(2))
    pair.near.take_back(1)
    pair.close()
    pair.far.take_back(1)
    with pytest.raises(SessionClosed):
        pair.far.take_over(1)
    assert pair.used == (0, 0)


def test_nothing_is_kept_of_what_carries_no_capability(kernel: Kernel) -> None:
    pair = Pair(kernel)
    places = (CALLS, *range(1000))
    for end in (pair.near, pair.far):
        end.hand_over((), 0)
        tracemalloc.start()
        try:
            for place in places:
                end.hand_over((), place)
                end.hand_over(())
            assert tracemalloc.get_traced_memory()[0] < 10_000
        finally:
            tracemalloc.stop()
    pair.near.hand_over(own(1))
    assert pair.far.take_over(1) == tuple(own(1))
    pair.close()
    assert pair.used == (0, 0)
