"""The kernels that are held to `pinfut.rpc.contract`: one more is one more line of `KERNELS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from pinfut.rpc.contract import Kernel
from pinfut.rpc.kernel.sim.kernel import SimKernel
from tests.kernels.copying import AT_ONCE, CopyKernel
from tests.kernels.joined import JoinedKernel

KERNELS: Final[dict[str, Callable[[], Kernel]]] = {
    "sim": SimKernel,
    "sim, at once": lambda: SimKernel(arrival="at once"),
    "sim, later": lambda: SimKernel(3, arrival="later"),
    "copying": CopyKernel,
    "copying, at once": lambda: CopyKernel(delays=(AT_ONCE,)),
    "copying, late": lambda: CopyKernel(3, delays=(0, 1, 2, 5)),
}

STREAMS: Final[dict[str, Callable[[], Kernel]]] = {
    "streams": lambda: JoinedKernel(),
    "streams, cut": lambda: JoinedKernel(3),
}
"""Kernels of which each has one side; they promise less (docs/processes.md)."""

OF_STREAMS: Final = {"test_ends", "test_lanes", "test_money"}
"""The files that are run on these, too."""

NOT_OF_STREAMS: Final = {
    # Whether a place is one, the caller looks, in memory of its own.
    "test_a_place_that_is_none_or_too_small_ends_in_a_protocol_error",
    # Each side's memory is its own, and goes when that side lets go.
    "test_memory_stays_until_both_have_let_go",
    # Both sides are charged here to one bank; a donation is the server's, and not the client's.
    "test_a_donation_is_bought_at_once_and_is_all_that_the_session_has",
    # What is refused: tickets, nested banks, introductions.
    "test_a_ticket_is_redeemed_once_and_goes_with_the_session",
    "test_a_nested_bank_pays_from_the_client_s_and_only_so_much",
    "test_the_end_of_a_nested_bank_gives_everything_back",
    "test_a_session_that_is_over_ends_no_bank_of_others",
    "test_what_a_dead_server_has_nested_goes_before_the_session_is_over",
    "test_an_introduction_is_a_session_between_the_servers_paid_by_the_client",
    "test_an_introduction_that_is_withdrawn_ends_on_both_sides",
    "test_an_introduction_that_cannot_be_made_has_bought_nothing",
    # Each session is a connection, and nobody can tell whether two are of one process.
    "test_who_the_client_is_the_kernel_says_by_its_process_and_its_bank",
    # The client's words come with its next call.
    "test_a_server_writes_the_records_that_its_client_brought",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is not for kernels over streams."""
    items[:] = [one for one in items if _is_promised(one)]


def _is_promised(item: pytest.Item) -> bool:
    params = getattr(item, "callspec", None)
    if params is None or params.params.get("kernel") not in STREAMS:
        return True
    assert isinstance(item, pytest.Function)
    module = item.module.__name__.rpartition(".")[2]
    return module in OF_STREAMS and item.function.__name__ not in NOT_OF_STREAMS


@pytest.fixture(params=[*KERNELS, *STREAMS])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A kernel of each kind."""
    made = {**KERNELS, **STREAMS}[request.param]()
    yield made
    if isinstance(made, JoinedKernel):
        made.close()
