"""Rows about calls and messages: in which order, how many, and in which memory."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows.row import Row

_SAME: Final = "tests/benches/test_compare.py::test_each_design_gives_the_same_answers"
_PEER: Final = "tests/rpc/wire/test_peer.py::test_"
_SLOTS: Final = "tests/pinfut/test_slots.py::test_"
_TURNS: Final = "tests/rpc/test_turns.py::test_"

ROWS: Final = (
    Row(
        60,
        63,
        "A message is there before its signal, whenever that arrives",
        "rpc/kernel/sim/endpoint.py",
        "tests/rpc/test_arrival.py::"
        "test_what_a_session_signals_is_published_whenever_the_signal_arrives",
        "row 60",
    ),
    Row(
        61,
        78,
        "A batch is submitted up to the first that finds no room, which is said; one transition "
        "tells of all of a turn",
        "rpc/contract.py",
        "tests/rpc/contract/test_lanes.py::"
        "test_a_batch_stops_at_the_first_that_finds_no_room_and_says_how_many_were_taken",
        "row 61",
    ),
    Row(
        62,
        103,
        "All stands in the ring as frames, what a promise has become too; a nearly empty one "
        "counts",
        "rpc/wire/frames.py",
        "tests/rpc/test_resolve.py::test_calls_go_the_shorter_way_once_a_resolve_has_come",
        "row 62",
    ),
    Row(
        63,
        104,
        "An answer is written into memory that the client has bought, where it wants it",
        "rpc/memory/lane.py",
        "tests/rpc/contract/test_lanes.py::test_an_answer_is_written_where_its_caller_wants_it",
    ),
    Row(
        64,
        106,
        "A thread may wait for a call; where that would stand still forever it is refused",
        "rpc/sync.py",
        "tests/rpc/test_sync.py::"
        "test_a_handler_that_would_wait_in_its_servers_thread_is_told_who_waits_for_whom",
        "row 64",
    ),
    Row(
        65,
        154,
        "Three levels in one thread: a flood of a low one delays a high one by a turn at most",
        "rpc/session/fairness.py",
        _TURNS + "a_flood_of_low_priority_delays_a_high_one_by_at_most_one_turn",
        "row 65",
    ),
    Row(
        66,
        157,
        "Memory allocated for each call, or an id over a queue: both, compared; the id is taken",
        "benches/compare/objects.py",
        _SAME,
        "row 66",
    ),
    Row(
        67,
        167,
        "A call may be made on an answer that has not come; it waits at the server, paid, bounded",
        "rpc/wire/peer.py",
        "tests/rpc/test_memory.py::"
        "test_the_bytes_of_pipelined_calls_that_wait_at_the_server_are_paid_and_refunded",
        "T28",
    ),
    Row(
        68,
        169,
        "A client sees on a page that it reads whether a promise was kept, without a call",
        "rpc/objects/status.py",
        "tests/rpc/test_status.py::"
        "test_a_promise_is_seen_kept_or_broken_without_a_frame_or_a_transition",
        "row 68",
    ),
    Row(
        69,
        283,
        "How far the server has read is told apart from answers, and answers wait for no call",
        "rpc/memory/lane.py",
        "tests/rpc/memory/test_lane.py::"
        "test_completions_come_once_in_order_and_only_when_published",
        "T30",
    ),
    Row(
        70,
        284,
        "What is one way takes no slot and no id",
        "rpc/session/calls_out.py",
        "tests/rpc/test_cancel.py::test_what_is_one_way_takes_no_slot_and_no_id",
        "row 70",
    ),
    Row(
        71,
        286,
        "A call in slot i is answered in place i, and there are as many of one as of the other",
        "rpc/memory/lane.py",
        "tests/hostile/test_scenarios.py::"
        "test_more_answers_than_slots_end_the_session_and_overwrite_nothing",
        "rule 37",
    ),
    Row(
        72,
        298,
        "To count up modulo N gives a live id twice when answers come out of order; so ids skip",
        "pinfut/slots.py",
        _SLOTS + "counting_x_without_skipping_would_collide_where_the_table_does_not",
        "row 72",
    ),
    Row(
        73,
        299,
        "Results lie in an array by id, each with state and generation, and are taken once",
        "pinfut/slots.py",
        _SLOTS + "a_slot_table_agrees_with_its_model_in_every_history",
        "rule 32",
    ),
    Row(
        74,
        301,
        "The server keeps answers by the client's slot, and the ids of a slot only go up",
        "rpc/wire/answers.py",
        _PEER + "ids_of_a_slot_only_go_up",
        "row 74",
    ),
    Row(
        75,
        116,
        "There are no more open calls than slots, whatever a client claims",
        "rpc/wire/peer.py",
        _PEER + "a_slot_that_is_in_use_takes_no_second_call",
        "T6",
    ),
)
