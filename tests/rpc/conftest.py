"""The kernels under whole programs: which files run on each, and what of them is not for all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import pytest

from tests.kernels.copying import CopyKernel
from tests.kernels.joined import JoinedKernel
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

NOT_OVER_STREAMS: Final = {
    # Introductions and nested banks are refused.
    "test_same_takes_what_is_served_elsewhere_and_own_does_not",
    "test_the_limits_hold_for_sessions_that_are_introduced",
    "test_what_is_introduced_is_what_was_granted",
    "test_a_label_is_no_longer_than_a_name_however_often_it_is_made_of_others",
    # Each side is free when it has let go, and a client does not wait for the server's clean-ups.
    "test_a_client_that_leaves_waits_until_its_cancelled_handlers_have_ended",
    "test_a_client_that_has_left_is_free_when_the_server_dies_in_its_clean_up",
    "test_closing_the_session_does_not_cut_a_clean_up_off",
    "test_every_end_of_a_session_ends_its_events",
    "test_random_programs_end_each_call_once_in_order_and_leave_every_bank_whole",
    # A session has its slots and its ring from the beginning, and these banks are too small.
    "test_a_greedy_client_is_stopped_by_its_own_bank_and_nobody_else_notices",
    "test_a_method_says_how_much_of_a_message_is_touched_and_more_is_not_sent",
    "test_a_session_that_cannot_be_paid_for_fails_before_it_exists",
    "test_more_capabilities_than_a_message_can_count_are_refused_by_name",
    "test_refill_and_retry_succeeds_on_the_nth_attempt",
    "test_what_classes_of_a_message_do_when_they_are_hashed_asked_or_let_go_of_is_the_calls",
    "test_a_wait_is_paid_by_its_client_until_it_is_over",
    # A stranger is not told what else is served.
    "test_connecting_to_what_nobody_serves_names_what_is_served",
    # They look at the records of both sides as one memory.
    "test_posts_make_no_server_grow",
    "test_whatever_a_client_writes_a_post_stays_in_its_record",
}
"""Tests of those files that look at what docs/processes.md does not promise."""

KERNELS: Final = {"sim": None, "copying": CopyKernel, "streams": JoinedKernel}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of those files once on each kernel that it is for."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in BOTH and metafunc.function.__name__ not in SIM_ONLY:
        kernels = list(KERNELS)
        no_sockets = sys.platform == "emscripten"  # in a browser
        if (
            no_sockets
            or module in ("test_introduce", "test_shared_exports", "test_walls")
            or (metafunc.function.__name__ in NOT_OVER_STREAMS)
        ):
            kernels.remove("streams")
        metafunc.parametrize("each_kernel", kernels, indirect=True)


@pytest.fixture(autouse=True)
def each_kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """What `tests.rpc.world.run` makes where a test does not say."""
    token = KERNEL.set(KERNELS[getattr(request, "param", "sim")])
    yield
    KERNEL.reset(token)
