"""Rows about futures: what may move, who is woken, where a result lies."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows.row import Row

_SLOTS: Final = "tests/pinfut/test_slots.py::test_"
_LAWS: Final = "tests/pinfut/test_laws.py::test_"
_PIN: Final = "tests/pinfut/test_pin.py::test_"
_COMBINATORS: Final = "tests/pinfut/test_combinators.py::test_"
_ECHO: Final = "tests/pinfut/test_echo.py::test_"

ROWS: Final = (
    Row(
        95,
        171,
        "A slot has the waker of who waits for it, the newest; an id is no address",
        "pinfut/slots.py",
        _SLOTS + "the_newest_waker_is_the_one_that_is_called",
        "row 95",
    ),
    Row(
        96,
        174,
        "A result comes into the slot, so that its future may move, and finds no later result",
        "pinfut/slots.py",
        _SLOTS + "a_future_never_takes_the_result_of_a_later_operation_in_its_slot",
        "row 96",
    ),
    Row(
        97,
        177,
        "A future that was polled is neither copied nor pickled, nor polled by another task",
        "pinfut/pin.py",
        _PIN + "a_pinned_future_may_not_be_copied_or_pickled",
        "row 97",
    ),
    Row(
        98,
        179,
        "One name, poll, for what may move until it is polled and for what is pinned in its place",
        "pinfut/pin.py",
        _PIN + "a_pinned_future_is_polled_in_place_without_a_step_in_between",
    ),
    Row(
        99,
        188,
        "A select leaves its losers where they are, and they go on",
        "pinfut/combinators/selecting.py",
        _COMBINATORS + "select_gives_the_winner_and_leaves_the_losers_where_they_are",
        "row 99",
    ),
    Row(
        100,
        191,
        "A reply finds its task and its place by the id that went out with the call",
        "pinfut/slots.py",
        _ECHO + "many_clients_share_a_table_without_a_mix_up",
    ),
    Row(
        101,
        193,
        "A poll that asks for it sees the set of events that woke it: none is lost, each is once",
        "pinfut/combinators/events.py",
        _COMBINATORS + "a_poll_sees_each_event_that_came_since_the_last_one_once",
        "row 101",
    ),
    Row(
        102,
        199,
        "A poll that nobody woke for is harmless, and one that was woken for may never come",
        "pinfut/laws.py",
        _LAWS + "a_spurious_poll_changes_nothing",
    ),
    Row(
        103,
        205,
        "What a poll is given is valid while it runs, and using it later raises",
        "pinfut/checked.py",
        _LAWS + "a_context_used_after_its_poll_is_named",
        "row 103",
    ),
    Row(
        104,
        207,
        "After the first poll a future stays until its value, or until its cancel was acknowledged",
        "pinfut/slots.py",
        _SLOTS + "a_dropped_slot_future_keeps_its_slot_until_the_acknowledgement",
        "rule 32",
    ),
    Row(
        105,
        210,
        "A wake sets a bit for its task, so that many of them cost one, and none is lost",
        "rpc/memory/notification.py",
        "tests/rpc/memory/test_notification.py::test_badges_are_seen_once_sorted_and_none_is_lost",
        "rule 26",
    ),
    Row(
        106,
        214,
        "A poll takes the value out of its slot, which is free and empty then",
        "pinfut/slots.py",
        _SLOTS + "a_free_slot_holds_neither_value_nor_waker",
        "row 106",
    ),
    Row(
        107,
        218,
        "What is made of pinned futures alone is pinned, seen by types and at run time",
        "pinfut/pin.py",
        _PIN + "what_is_made_of_pinned_futures_alone_is_pinned",
    ),
    Row(
        108,
        225,
        "What may move: a future until its first poll, whatever its type, and never after",
        "docs/future-model.md",
        _PIN + "a_future_moves_until_its_first_poll_and_not_after",
    ),
    Row(
        109,
        228,
        "Once it runs, a call over a session allocates nothing that stays",
        "rpc/session/calls_out.py",
        "tests/rpc/test_steady_state.py::test_calls_that_come_and_go_keep_not_a_byte",
        "row 109",
    ),
    Row(
        110,
        230,
        "Futures stay easy: a class with a poll is one, and can be pinned and awaited",
        "pinfut/future.py",
        _PIN + "a_class_with_poll_alone_can_be_pinned_and_awaited",
    ),
    Row(
        111,
        289,
        "An answer that came is taken, or given up together with the capabilities in it",
        "rpc/session/calls_out.py",
        "tests/rpc/test_cancel.py::test_capabilities_of_an_answer_that_nobody_takes_are_released",
        "T34",
    ),
    Row(
        112,
        293,
        "Only the executor makes a context, nobody copies one, and it is dead after its poll",
        "pinfut/poll.py",
        _LAWS + "a_context_that_is_kept_is_dead_in_every_mode",
        "row 112",
    ),
    Row(
        113,
        299,
        "Futures of asyncio and trio await calls, and the other way round",
        "executor/hosts/guest.py",
        "tests/hosts/test_guest.py::test_a_service_is_called_from_tasks_of_the_host_and_refunded",
    ),
    Row(
        114,
        304,
        "A wake goes to the leaf without a frame between, and gives what a poll from the root does",
        "pinfut/coroutine.py",
        "tests/executor/test_direct_to_leaf.py::"
        "test_the_leaf_polled_alone_does_what_polling_from_the_root_does",
    ),
    Row(
        115,
        306,
        "That a nested future is polled cannot be promised; its result waits in the slot instead",
        "pinfut/slots.py",
        _ECHO + "a_call_that_loses_a_select_goes_on",
    ),
    Row(
        116,
        308,
        "A poll gives the value itself, once; there is no second call for it",
        "pinfut/poll.py",
        _LAWS + "a_result_is_taken_once_without_checked_mode_too",
    ),
    Row(
        117,
        311,
        "A call with an id and a loop that receives answers become a future: an example",
        "examples/lessons/echo_on_executor.py",
        "tests/examples/lessons/test_echo.py::test_each_call_gets_its_own_answer_in_any_order",
        "row 117",
    ),
)
