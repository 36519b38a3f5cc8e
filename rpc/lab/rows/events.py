"""Rows about events: what is told without being asked for each time, in bounded memory."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows.row import Row

_EVENTS: Final = "tests/rpc/test_events.py::test_"
_MODEL: Final = _EVENTS + "events_equal_their_model_in_any_history"
_COMPARE: Final = "tests/benches/test_compare.py::test_"
_BUFFER: Final = "rpc/memory/event_buffer.py"

ROWS: Final = (
    Row(
        76,
        69,
        "Sources that are ready come in turn, and none that is always ready keeps others waiting",
        _BUFFER,
        _EVENTS + "sources_that_are_ready_come_in_turn",
        "row 76",
    ),
    Row(
        77,
        69,
        "Memory of a client's that lies in a server's list stays while the session is there",
        _BUFFER,
        _EVENTS + "a_buffer_stays_while_its_session_is_there",
        "T16",
    ),
    Row(
        78,
        71,
        "One wait covers answers, events, bytes of sockets and times; what connects, too",
        "rpc/vat.py",
        "tests/rpc/test_one_wait.py::"
        "test_one_wait_is_told_of_an_answer_an_event_a_socket_and_a_time_in_any_order",
        "row 78",
    ),
    Row(
        79,
        111,
        "There is one record for each source, and what comes before it was read is combined there",
        _BUFFER,
        _MODEL,
        "rule 35",
    ),
    Row(
        80,
        112,
        "What is kept of a subscription has a fixed size, and is paid by who subscribes",
        "rpc/session/subscriptions.py",
        _EVENTS + "a_subscription_is_paid_by_who_subscribes_and_refunded_once",
        "row 80",
    ),
    Row(
        81,
        113,
        "An event is told once for each asking; what changed before the asking is told at once",
        _BUFFER,
        _EVENTS + "an_event_between_the_look_and_the_arming_comes_at_once",
        "row 81",
    ),
    Row(
        82,
        116,
        "Nobody is told more often than was asked for",
        "rpc/session/subscriptions.py",
        _MODEL,
        "rule 38",
    ),
    Row(
        83,
        117,
        "The window of a stream is credit that its receiver buys; packets take a paid buffer",
        "examples/tcp_window.py",
        "tests/examples/test_events.py::"
        "test_no_more_of_a_stream_lies_in_the_system_than_its_receiver_has_bought",
        "row 83",
    ),
    Row(
        84,
        123,
        "A listener buys its backlog; a request beyond it is refused and costs nobody memory",
        "rpc/kernel/backlog.py",
        "tests/rpc/test_limits.py::"
        "test_sessions_wait_in_places_that_the_listener_bought_and_beyond_them_are_refused",
        "row 84",
    ),
    Row(
        85,
        126,
        "A client that never looks stalls neither the server nor others",
        _BUFFER,
        _EVENTS + "who_never_looks_stalls_nobody",
    ),
    Row(
        86,
        128,
        "Events become one state of a fixed size, the latest, with a version",
        "examples/window.py",
        "tests/examples/test_events.py::test_a_cursor_is_combined_while_its_client_sleeps",
    ),
    Row(
        87,
        130,
        "The last N states are kept in a ring of the client's, and those lost are counted exactly",
        _BUFFER,
        _EVENTS + "what_is_written_over_while_it_is_copied_counts_as_lost",
        "row 87",
    ),
    Row(
        88,
        132,
        "Events have a buffer of their own, and take nothing of the ring for answers",
        _BUFFER,
        _EVENTS + "a_post_writes_nothing_into_the_rings",
    ),
    Row(
        89,
        135,
        "That buffer is shared memory which the client brings; without it there is no event",
        "rpc/session/subscriptions.py",
        _EVENTS + "without_a_buffer_there_is_no_event",
    ),
    Row(
        90,
        138,
        "A state is written before its signal",
        "rpc/session/subscriptions.py",
        _EVENTS + "a_state_is_there_before_its_signal",
        "row 90",
    ),
    Row(
        91,
        140,
        "A place goes when the client lets go of it and the server has said so, with one refund",
        "rpc/session/subscriptions.py",
        _EVENTS + "a_cancelled_place_is_let_go_of_by_the_server",
        "T11",
    ),
    Row(
        92,
        143,
        "A server has no way to make a buffer larger: whatever it posts, nothing grows",
        _BUFFER,
        _EVENTS + "posts_make_no_server_grow",
    ),
    Row(
        93,
        149,
        "One buffer for a client or one for each bushel: compared; one for a client is taken",
        "benches/compare/pairs.py",
        _COMPARE + "the_tables_are_printed_for_people",
    ),
    Row(
        94,
        152,
        "A reply as a buffer of one event: built, compared, and not taken",
        "benches/compare/slots.py",
        _COMPARE + "each_design_gives_the_same_answers",
        "row 94",
    ),
)
