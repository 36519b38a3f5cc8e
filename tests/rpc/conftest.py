"""Both kernels under whole programs: which files run on each, and what of them is not for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.kernels.copying import CopyKernel
from tests.rpc.world import KERNEL

BOTH: Final = {
    "test_calls",
    "test_cancel",
    "test_death",
    "test_demands",
    "test_events",
    "test_facets",
    "test_failures",
    "test_handlers",
    "test_introduce",
    "test_limits",
    "test_memory",
    "test_order",
    "test_pipelining",
    "test_random_programs",
    "test_release",
    "test_reverse",
    "test_shared_exports",
    "test_walls",
}

SIM_ONLY: Final = {
    # They write into the ring, past everybody.
    "test_a_second_cancel_frame_does_not_cut_a_clean_up_off",
    "test_what_is_longer_than_its_method_touches_is_refused_before_it_is_copied",
    # A kernel may sell memory for answers at once, or keep it between two uses.
    "test_large_answers_arrive_whole_and_their_memory_is_used_again",
    "test_calls_that_wait_for_a_slot_are_refused_when_the_bank_is_empty",
    "test_spare_memory_for_answers_is_given_up_when_the_server_runs_short",
    # They count transitions into the kernel, of which the contract says nothing.
    "test_two_servers_have_one_route_however_much_is_introduced_to_them",
    "test_clone_drop_and_compare_are_no_kernel_transitions",
    # It is not said how often a server is asked to post, nor that the client's words are read where
    # they stand; only what the client sees then.
    "test_an_event_between_the_look_and_the_arming_comes_at_once",
    "test_sources_that_are_ready_come_in_turn",
    "test_a_source_that_is_ready_all_the_time_waits_for_the_others",
    "test_a_state_is_there_before_its_signal",
    "test_a_source_that_ends_while_nobody_asks_tells_the_next_who_does",
    "test_a_cancelled_place_is_let_go_of_by_the_server",
    "test_a_stream_arms_again_when_it_is_asked_for_the_next",
    "test_who_never_looks_stalls_nobody",
    "test_a_post_writes_nothing_into_the_rings",
    "test_what_a_server_cannot_have_written_is_refused",
    "test_what_is_written_over_while_it_is_copied_counts_as_lost",
}
"""Tests of those files that look at what only shared memory promises."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of those files once on each kernel."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in BOTH and metafunc.function.__name__ not in SIM_ONLY:
        metafunc.parametrize("each_kernel", ["sim", "copying"], indirect=True)


@pytest.fixture(autouse=True)
def each_kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """What `tests.rpc.world.run` makes where a test does not say."""
    token = KERNEL.set(CopyKernel if getattr(request, "param", "sim") == "copying" else None)
    yield
    KERNEL.reset(token)
