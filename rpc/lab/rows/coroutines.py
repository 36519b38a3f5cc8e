"""Rows about coroutines: frames that are sized, paid, and used again."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows.row import Row

_FRAMES: Final = "tests/pinfut/unboxed/test_frames.py::test_"
_CALLEES: Final = "tests/pinfut/unboxed/test_callees.py::test_"
_HANDLERS: Final = "tests/rpc/test_handlers.py::test_"

ROWS: Final = (
    Row(
        118,
        233,
        "Coroutines drive futures, and what a handler's frame holds is charged to its caller",
        "rpc/objects/handlers.py",
        _HANDLERS + "a_handler_that_holds_more_is_charged_that_from_when_it_first_waits",
        "T32",
    ),
    Row(
        119,
        235,
        "A function with all it awaits is one frame, sized when decorated, and used again; a "
        "handler is called, which takes half of what a pool does",
        "pinfut/unboxed/pool.py",
        _FRAMES + "a_hundred_thousand_calls_from_a_pool_allocate_nothing_that_stays",
        "row 119",
    ),
    Row(
        120,
        240,
        "What lives across an await is known, and gives the frame its layout and its bytes",
        "pinfut/unboxed/layout.py",
        _FRAMES + "the_size_is_what_a_frame_really_takes",
    ),
    Row(
        121,
        243,
        "It is named `unboxed`, and the function looks like the one that was written",
        "pinfut/unboxed/decorate.py",
        "tests/pinfut/unboxed/test_tracebacks.py::"
        "test_an_unboxed_function_looks_like_the_one_that_was_written",
    ),
    Row(
        122,
        245,
        "An argument that no later line reads is let go of at the first suspension",
        "pinfut/unboxed/liveness.py",
        _FRAMES + "an_argument_that_is_dead_is_dropped_at_the_first_suspension",
    ),
    Row(
        123,
        253,
        "What varies in size lies outside of the frame, in pages of who pays for the call",
        "pinfut/payers.py",
        "tests/payers/test_sessions.py::"
        "test_what_a_handler_holds_over_an_await_is_paid_whatever_it_is",
    ),
    Row(
        124,
        255,
        "However a frame ends, what it opened is closed, the innermost first",
        "pinfut/unboxed/frame.py",
        _FRAMES + "cancel_and_throw_run_every_finally_innermost_first",
    ),
    Row(
        125,
        257,
        "A constructor may wait: a class method that awaits, and makes the class it is called on",
        "pinfut/poll.py",
        _CALLEES + "a_constructor_that_waits_makes_the_class_that_it_is_called_on",
    ),
    Row(
        126,
        261,
        "The variables that a closure holds are part of the frame's size",
        "pinfut/unboxed/resolve.py",
        _CALLEES + "variables_that_a_closure_holds_are_part_of_the_size",
    ),
    Row(
        127,
        263,
        "The size is fixed by decoration, for functions and classes with type parameters, too",
        "pinfut/unboxed/resolve.py",
        _CALLEES + "functions_and_classes_with_type_parameters_are_embedded",
    ),
    Row(
        128,
        266,
        "Combinators as futures and as coroutines: both, and their polls are the same",
        "pinfut/unboxed/__init__.py",
        "tests/pinfut/unboxed/test_combinators.py::test_the_poll_traces_of_both_forms_are_equal",
    ),
    Row(
        129,
        270,
        "A layout is known before a call, and who begins the call says in which memory",
        "rpc/objects/handlers.py",
        _HANDLERS + "an_unboxed_handler_is_charged_what_its_frame_takes_to_the_byte",
        "row 129",
    ),
    Row(
        130,
        272,
        "The result stands in a fixed place, and is read without resuming",
        "pinfut/unboxed/frame.py",
        _FRAMES + "the_result_is_read_without_resuming",
        "row 130",
    ),
    Row(
        131,
        277,
        "A frame that is too small for its function is refused before anything is written",
        "pinfut/unboxed/frame.py",
        _FRAMES + "a_frame_that_is_too_small_traps_before_anything_is_written",
        "row 131",
    ),
    Row(
        132,
        279,
        "A handler without a known size pays a bound until it first waits, and then what it has",
        "rpc/session/calls_in.py",
        _HANDLERS + "a_handler_of_which_nothing_is_known_pays_what_it_holds_once_it_waits",
        "row 132",
    ),
    Row(
        133,
        313,
        "To wait and to give items stay two things; a generator that does both is refused",
        "pinfut/unboxed/plan.py",
        _CALLEES + "an_async_generator_is_refused_with_the_way_out",
    ),
)
