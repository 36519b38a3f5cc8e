"""The life of questions and answers, without any I/O: frames in, frames out."""

from __future__ import annotations

import random
import tracemalloc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.rpc import prices
from pinfut.rpc.errors import (
    AnswerTooLarge,
    CallCancelled,
    GarbageFrame,
    OutOfPages,
    ProtocolError,
    RemoteError,
    SlotInUse,
    UnknownObject,
    UnknownReply,
)
from pinfut.rpc.lab.hostile.raw import Message
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.exports import Facet
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import MIN_ROOM
from tests.bounded import repeat
from tests.covered import covered, require
from tests.rpc.wire.fakes import (
    Caller,
    Costly,
    Empty,
    Host,
    Plain,
    Thing,
    bootstrap,
    call,
    cancel,
    error_in,
    finish,
    opened,
    release,
)

ID = Thing._pinfut_id


def sender(number: int) -> Cap:
    return Cap(frames.SENDER, number, ID)


def promised(x: int) -> Cap:
    return Cap(frames.RECEIVER_ANSWER, x, ID)


def host_with(thing: Any = None, **sizes: int) -> tuple[Host, int]:
    """A host that has handed one object out, and the object's id."""
    host = Host(**sizes)
    return host, host.peer.exports.grant(Plain() if thing is None else thing, Thing)


# ---- a plain call ----


def test_a_call_ends_with_one_return_that_says_that_nothing_is_left_to_finish() -> None:
    host, number = host_with()
    host.receive(call(0, number, b"arguments", method=1, place=7))
    ((answer, thing, payload),) = host.calls
    assert (answer.x, answer.method, answer.room, answer.place) == (0, 1, 1024, 7)
    assert isinstance(thing, Plain)
    assert payload == b"arguments"
    assert host.returns == {}
    assert host.peer.open_answers() == [answer]
    host.peer.give(answer, b"value")
    assert opened(0, host.returns[0]) == (frames.NO_FINISH, (), b"value")
    assert host.peer.open_answers() == []


def test_a_slot_whose_call_is_over_takes_the_next_and_answers_in_any_order() -> None:
    answer_in_any_order()
    require(covered("peer, plain calls"), "calls", "out_of_order")


@given(order=st.lists(st.integers(0, 7), min_size=10, max_size=60))
def answer_in_any_order(order: list[int]) -> None:
    host, number = host_with(slots=8)
    caller = Caller(8)
    before = host.held
    open_: list[int] = []
    returned: list[int] = []
    made: list[int] = []
    for pick in order:
        if pick > 3 and not caller.peer.questions.full:
            x = caller.peer.questions.acquire().x
            host.receive(call(x, number, b"%d" % x))
            open_.append(x)
            made.append(x)
        elif open_:
            x = open_.pop(pick % len(open_))
            host.peer.give(host.running(x), b"to %d" % x)
            flags, _, payload = caller.peer.open_return(x, host.returns[x])
            assert (flags, payload) == (frames.NO_FINISH, b"to %d" % x)
            caller.peer.questions.complete(x, 0)
            caller.peer.questions.take(caller.peer.questions.find(x), x)
            returned.append(x)
    assert host.called() == [b"%d" % x for x in made], "calls start in the order sent"
    assert host.held == before
    assert {answer.x for answer in host.peer.open_answers()} == set(open_)
    covered("peer, plain calls", calls=len(made), out_of_order=int(returned != sorted(returned)))


def test_a_call_for_an_object_that_is_not_held_is_refused_alone() -> None:
    host, number = host_with()
    host.receive(call(0, 99))
    assert isinstance(error_in(0, host.returns[0]), UnknownObject)
    assert host.calls == []
    host.receive(call(8, number))
    assert len(host.calls) == 1


def test_a_handlers_error_travels_as_code_name_and_message() -> None:
    host, number = host_with()
    host.receive(call(0, number))
    host.peer.refuse(host.running(0), ZeroDivisionError("by zero"))
    error = error_in(0, host.returns[0])
    assert isinstance(error, RemoteError)
    assert (error.kind, error.detail) == ("ZeroDivisionError", "by zero")
    host.receive(call(8, number))  # and the slot is free


def test_bootstrap_hands_the_root_out_and_calls_go_to_it() -> None:
    host = Host()
    host.receive(bootstrap())
    flags, (cap,), payload = opened(0, host.returns[0])
    assert (flags, payload, cap.kind) == (0, b"", frames.SENDER)
    host.receive(call(1, cap.id))
    host.receive(call(2, 0, on_answer=True))
    assert [thing for _, thing, _ in host.calls] == [host.root, host.root]
    host.receive(finish(0))
    host.receive(release(cap.id))
    host.receive(call(3, cap.id))
    assert isinstance(error_in(3, host.returns[3]), UnknownObject)


# ---- pipelining ----


def test_a_call_on_what_has_not_come_waits_and_is_delivered_in_order() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, b"open", pipeline=True))
    for x in range(1, 6):
        host.receive(call(x, 0, b"%d" % x, on_answer=True))
    assert host.called() == [b"open"]
    assert host.held[0] - before[0] == 5 * (prices.QUEUED + frames.EXPECTED.size + 1), (
        "who waits, pays"
    )
    found = Plain("found")
    host.hand_out(host.running(0), found)
    assert host.called() == [b"open", b"1", b"2", b"3", b"4", b"5"]
    assert {id(thing) for _, thing, _ in host.calls[1:]} == {id(found)}
    assert host.held[0] - before[0] == prices.EXPORT + prices.OBJECT
    host.receive(call(6, 0, b"late", on_answer=True))
    assert host.called()[-1] == b"late"


def test_random_pipelines_keep_the_order_of_each_target_and_every_charge_returns() -> None:
    """Traps T25 and T28: order and charges of whatever waits."""

    pipeline_at_random()
    require(
        covered("peer, pipelines"),
        "waited",
        "went_at_once",
        "failed_with_the_target",
        "cancelled",
        "finished",
    )


@settings(max_examples=max(200, settings().max_examples))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["call", "call", "call", "end", "end", "fail", "cancel", "finish"]),
            st.integers(0, 99),
        ),
        min_size=20,
        max_size=80,
    )
)
def pipeline_at_random(steps: list[tuple[str, int]]) -> None:
    host, number = host_with(slots=16)
    before = host.held
    x = 0
    sent: dict[int, list[int]] = {}  # by target: who was called on it, in order
    alive: list[int] = []  # calls that may be named as targets
    ended: set[int] = set()
    counts = dict.fromkeys(
        ("waited", "went_at_once", "failed_with_the_target", "cancelled", "finished"), 0
    )
    for step, pick in steps:
        running = host.all_running()
        if step == "call" and len(alive) < 16:
            while any(x % 16 == other % 16 for other in alive):
                x += 1
            target = alive[pick % len(alive)] if alive and pick % 4 else None
            started = len(host.calls)
            if target is None:
                host.receive(call(x, number, b"%d" % x, pipeline=True))
            else:
                host.receive(call(x, target, b"%d" % x, pipeline=True, on_answer=True))
                sent.setdefault(target, []).append(x)
                counts["waited" if len(host.calls) == started else "went_at_once"] += 1
            alive.append(x)
            x += 1
        elif step == "end" and running:
            host.hand_out(running[pick % len(running)], Plain())
        elif step == "fail" and running:
            host.peer.refuse(running[pick % len(running)], KeyError(x))
        elif step == "cancel" and alive:
            one = alive[pick % len(alive)]
            was = len(host.returns)
            host.receive(cancel(one))
            counts["cancelled"] += len(host.returns) > was
        elif step == "finish":
            done = [n for n in alive if n in host.returns]
            if done:
                one = done[pick % len(done)]
                host.receive(finish(one, release=True))
                alive.remove(one)
                ended.add(one)
                counts["finished"] += 1
    started_in_order = [int(payload) for payload in host.called()]
    for target, calls in sent.items():
        on_it = [n for n in started_in_order if n in calls]
        assert on_it == sorted(on_it), f"calls on {target} overtook each other"
        if target in host.returns and opened(target, host.returns[target])[0] & frames.ERROR:
            assert on_it == [], "a call on what failed was delivered"
            counts["failed_with_the_target"] += sum(n in host.returns for n in calls)
    host.peer.close()
    assert host.held == (0, 0)
    assert before > (0, 0)
    host.account.close()
    covered("peer, pipelines", **counts)


def test_the_error_of_a_target_is_the_error_of_every_call_on_it() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, pipeline=True))
    for x in range(1, 6):
        host.receive(call(x, x - 1, pipeline=True, on_answer=True))
    host.peer.refuse(host.running(0), FileNotFoundError("no such file"))
    assert len(host.calls) == 1
    for x in range(6):
        error = error_in(x, host.returns[x])
        assert isinstance(error, RemoteError)
        assert (error.kind, error.detail) == ("FileNotFoundError", "no such file")
    assert host.held == before
    host.receive(call(6, 3, on_answer=True))  # also one that comes afterwards
    assert str(error_in(6, host.returns[6])) == "FileNotFoundError: no such file"


@pytest.mark.parametrize("fails", [True, False], ids=["all fail", "all succeed"])
def test_a_chain_of_thousands_of_calls_is_resolved_without_deep_recursion(fails: bool) -> None:
    length = 5000
    host, number = host_with(slots=length, pages=10_000, caps=10_000)

    def at_once(answer: Any, called: Facet, payload: bytes) -> None:
        Host.on_call(host, answer, called, payload)
        if answer.x:
            host.hand_out(answer, Plain())

    host.on_call = at_once  # type: ignore[method-assign]
    host.peer.attach(host, host)
    host.receive(call(0, number, pipeline=True))
    for x in range(1, length):
        host.receive(call(x, x - 1, pipeline=True, on_answer=True))
    assert len(host.returns) == 0
    if fails:
        host.peer.refuse(host.running(0), KeyError(1))
        assert isinstance(error_in(length - 1, host.returns[length - 1]), RemoteError)
    else:
        host.hand_out(host.running(0), Plain())
        assert len(host.calls) == length
    assert len(host.returns) == length
    host.peer.close()
    assert host.held == (0, 0)


def test_a_call_on_its_own_result_is_refused() -> None:
    """Trap T26: the shortest loop."""

    host, _ = host_with()
    before = host.held
    host.receive(call(3, 3, on_answer=True))
    assert isinstance(error_in(3, host.returns[3]), UnknownObject)
    host.receive(call(4, 0, caps=(promised(4),)))
    assert isinstance(error_in(4, host.returns[4]), UnknownObject)
    assert host.held == before


@pytest.mark.parametrize("target", [1, 8, 1 << 40])
def test_a_call_on_an_answer_that_is_not_held_is_refused(target: int) -> None:
    host, _ = host_with()
    host.receive(call(0, target, on_answer=True))
    assert isinstance(error_in(0, host.returns[0]), UnknownObject)


def test_a_call_on_the_result_of_a_finished_call_is_refused() -> None:
    host = Host()
    host.receive(bootstrap())
    host.receive(finish(0))
    host.receive(call(1, 0, on_answer=True))
    assert isinstance(error_in(1, host.returns[1]), UnknownObject)


def test_a_call_on_data_is_refused_whether_it_waited_or_not() -> None:
    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    host.receive(call(1, 0, on_answer=True))
    host.peer.give(host.running(0), b"data")
    host.receive(call(2, 0, on_answer=True))
    for x in (1, 2):
        assert isinstance(error_in(x, host.returns[x]), UnknownObject)


def test_an_object_that_is_false_is_an_object_all_the_same() -> None:
    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    host.receive(call(1, 0, b"on it", on_answer=True))
    host.receive(call(2, number, b"with it", caps=(promised(0),)))
    (late,) = host.running(2).caps
    empty = Empty()
    assert not empty
    host.hand_out(host.running(0), empty)
    assert host.running(1)
    assert (late.facet[0], late.error) == (empty, None)
    host.receive(call(3, number, b"with it, later", caps=(promised(0),)))
    (late,) = host.running(3).caps
    assert (late.facet[0], late.error) == (empty, None)


def test_a_pipelined_call_that_cannot_be_paid_is_refused_and_nothing_stays() -> None:
    host, number = host_with(pages=1)
    with pytest.raises(OutOfPages):
        repeat(lambda: host.account.take(64), "the account has no more")
    before = host.held
    host.receive(call(0, number, pipeline=True))
    host.receive(call(1, 0, b"x", on_answer=True))
    assert isinstance(error_in(1, host.returns[1]), OutOfPages)
    assert host.held == before
    host.account.give(2 * prices.QUEUED)
    host.receive(call(2, 0, b"x", on_answer=True))
    host.account.take(64)
    host.hand_out(host.running(0), host.calls[0][1])
    assert host.called()[-1] == b"x"


def test_no_later_call_is_delivered_when_a_handler_closes_the_session() -> None:
    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    for x in range(1, 4):
        host.receive(call(x, 0, b"%d" % x, on_answer=True))

    def close(answer: Any, called: Facet, payload: bytes) -> None:
        Host.on_call(host, answer, called, payload)
        host.peer.close()

    host.on_call = close  # type: ignore[method-assign]
    host.peer.attach(host, host)
    host.hand_out(host.running(0), Plain())
    assert host.called() == [b"", b"1"]
    assert set(host.returns) == {0}
    assert host.held == (0, 0)


# ---- capabilities in arguments ----


def test_an_argument_that_has_not_come_is_there_when_its_call_has_ended() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, pipeline=True))
    host.receive(call(1, number, b"use", caps=(promised(0), promised(0))))
    one, two = host.running(1).caps
    assert one.facet is one.error is None
    assert host.held[0] > before[0], "what is still to come is paid for"
    seen: list[Any] = []
    one.on_settled.append(lambda late: seen.append(late.facet[0]))
    found = Plain()
    host.hand_out(host.running(0), found)
    assert seen == [found]
    assert two.facet[0] is found
    assert host.held[0] - before[0] == prices.EXPORT + prices.OBJECT
    host.receive(call(2, number, b"again", caps=(promised(0),)))
    assert host.running(2).caps[0].facet[0] is found


def test_an_argument_whose_call_failed_has_the_error_of_that_call() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, pipeline=True))
    host.receive(call(1, number, b"use", caps=(promised(0),)))
    (late,) = host.running(1).caps
    host.peer.refuse(host.running(0), KeyError("k"))
    assert late.error[1:] == ("KeyError", "'k'")
    assert host.held == before
    host.receive(call(2, number, b"use", caps=(promised(0),)))
    assert host.running(2).caps[0].error[1:] == ("KeyError", "'k'")


def test_arguments_that_never_come_are_settled_and_refunded_by_the_end() -> None:
    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    host.receive(call(1, number, b"use", caps=(promised(0),) * 5))
    lates = host.running(1).caps
    host.peer.close()
    assert all(late.error is not None for late in lates)
    assert host.held == (0, 0)


@pytest.mark.parametrize("how", ["no such object", "target fails", "cancelled", "no such answer"])
def test_the_capabilities_of_a_call_that_is_refused_go_back_with_the_return(how: str) -> None:
    host, number = host_with()
    caps = (sender(11), sender(12))
    if how == "no such object":
        host.receive(call(0, 99, caps=caps))
    elif how == "no such answer":
        host.receive(call(0, number, caps=(*caps, promised(5))))
    else:
        host.receive(call(1, number, pipeline=True))
        host.receive(call(0, 1, on_answer=True, caps=caps))
        if how == "cancelled":
            host.receive(cancel(0))
        else:
            host.peer.refuse(host.running(1), KeyError())
    flags, _, _ = opened(0, host.returns[0])
    assert flags & frames.ERROR
    assert flags & frames.RETURN_ARGS


def test_a_release_names_how_often_an_import_came() -> None:
    caller = Caller()
    for _ in range(3):
        caller.peer.imports.receive(7)
    caller.peer.drop_import(7)
    caller.peer.drop_import(7)
    assert caller.sent == []
    caller.peer.drop_import(7)
    assert caller.sent == [release(7, 3)]
    caller.peer.drop_import(7)
    assert len(caller.sent) == 1


def test_a_release_that_crosses_another_hand_out_loses_nothing() -> None:
    """Trap T24: a Release names how often the object had come."""

    host, number = host_with()
    thing = host.peer.exports.get(number)[0]
    caller = Caller()
    caller.peer.imports.receive(number)
    assert host.peer.exports.grant(thing, Thing) == number  # on its way
    caller.peer.drop_import(number)
    host.receive(caller.sent.pop())
    caller.peer.imports.receive(number)  # it comes
    host.receive(call(0, number))
    assert len(host.calls) == 1
    caller.peer.drop_import(number)
    host.receive(caller.sent.pop())
    assert host.held == (0, 0)


# ---- Finish ----


def test_finish_can_release_the_capabilities_that_nobody_took() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, pipeline=True))
    found = Costly()
    host.hand_out(host.running(0), found)
    assert host.held[0] > before[0] + 10_000
    watch = weakref.ref(found)
    del found
    host.receive(finish(0, release=True))
    assert host.held == before
    assert watch() is None
    host.receive(call(8, number, pipeline=True))
    host.hand_out(host.running(8), Costly())
    host.receive(finish(8))
    assert host.held[0] > before[0] + 10_000


@pytest.mark.parametrize("x", [0, 1, 8, 1 << 50])
def test_a_finish_without_a_return_is_an_error_of_the_protocol(x: int) -> None:
    host, number = host_with()
    with pytest.raises(UnknownReply):
        host.receive(finish(x))
    host.receive(call(0, number))
    with pytest.raises(UnknownReply):
        host.receive(finish(x))  # it runs still, or is another
    host.peer.give(host.running(0), b"")
    with pytest.raises(UnknownReply):
        host.receive(finish(x))  # there was nothing to finish
    assert host.peer.open_answers() == []


def test_a_return_that_says_no_finish_has_left_the_slot_free_whatever_was_called_on_it() -> None:
    host, number = host_with()
    host.receive(call(0, number))
    host.receive(call(1, 0, b"on it", on_answer=True))
    host.peer.give(host.running(0), b"data")
    assert isinstance(error_in(1, host.returns[1]), UnknownObject)
    flags, _, _ = opened(0, host.returns[0])
    if flags & frames.NO_FINISH:
        host.receive(call(8, number, b"next"))
    else:
        host.receive(finish(0))
        host.receive(call(8, number, b"next"))
    assert host.called()[-1] == b"next"


def test_a_slot_that_waits_for_its_finish_is_in_use() -> None:
    """Bank rule 40: an id is free after the Return came and the Finish went (trap T2)."""

    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    host.hand_out(host.running(0), Plain())
    with pytest.raises(SlotInUse):
        host.receive(call(8, number))
    host.receive(finish(0))
    host.receive(call(8, number))


def test_a_hostile_release_before_finish_is_an_error_of_the_protocol_or_harmless() -> None:
    host = Host()
    host.receive(bootstrap())
    _, (cap,), _ = opened(0, host.returns[0])
    host.receive(release(cap.id))
    try:
        host.receive(finish(0, release=True))
    except ProtocolError:
        pass
    host.peer.close()
    assert host.held == (0, 0)


def test_an_object_is_paid_for_as_long_as_an_unfinished_answer_holds_it() -> None:
    """Else a client could release what it is handed, never finish, and have the server
    hold as much as it likes for nothing."""
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, pipeline=True))
    found = Costly()
    watch = weakref.ref(found)
    host.hand_out(host.running(0), found)
    del found
    _, (cap,), _ = opened(0, host.returns[0])
    try:
        host.receive(release(cap.id))
    except ProtocolError:
        return
    assert watch() is None or host.held[0] - before[0] >= 10_000


# ---- Cancel ----


def test_cancel_of_a_call_that_has_not_come_or_is_over_is_ignored() -> None:
    host, number = host_with()
    host.receive(cancel(0))
    host.receive(call(0, number))
    host.receive(cancel(8))
    host.peer.give(host.running(0), b"")
    host.receive(cancel(0))
    host.receive(call(8, number))
    host.receive(cancel(0))  # it crossed the Return, and the slot is used again
    assert host.cancelled == []
    assert list(host.returns) == [0]


def test_cancel_of_a_running_call_asks_and_the_return_still_comes() -> None:
    host, number = host_with()
    host.receive(call(0, number))
    host.receive(cancel(0))
    assert host.cancelled == [0]
    assert host.returns == {}
    host.peer.refuse(host.running(0), CallCancelled("as you wish"))
    flags, _, _ = opened(0, host.returns[0])
    assert flags & frames.CANCELLED
    assert isinstance(error_in(0, host.returns[0]), CallCancelled)


def test_cancel_of_a_waiting_call_ends_it_and_what_waits_for_it() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, b"open", pipeline=True))
    host.receive(call(1, 0, b"1", on_answer=True, pipeline=True))
    host.receive(call(2, 1, b"2", on_answer=True))
    host.receive(call(3, 0, b"3", on_answer=True))
    host.receive(cancel(1))
    for x in (1, 2):
        assert isinstance(error_in(x, host.returns[x]), CallCancelled)
    host.hand_out(host.running(0), Plain())
    assert host.called() == [b"open", b"3"]
    host.receive(finish(0, release=True))
    assert host.held == before


def test_cancel_after_the_return_and_before_finish_changes_nothing() -> None:
    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    host.hand_out(host.running(0), Plain())
    host.receive(cancel(0))
    host.receive(call(1, 0, b"still", on_answer=True))
    assert host.called()[-1] == b"still"
    assert host.cancelled == []


# ---- slots and ids ----


def test_a_slot_that_is_in_use_takes_no_second_call() -> None:
    host, number = host_with()
    host.receive(call(0, number))
    for frame in (call(8, number), call(0, number), bootstrap(8), call(16, 0, on_answer=True)):
        with pytest.raises(SlotInUse, match="not over"):
            host.receive(frame)
    assert len(host.calls) == 1


@pytest.mark.parametrize("x", [0, 8, 16])
def test_ids_of_a_slot_only_go_up(x: int) -> None:
    host, number = host_with()
    host.receive(call(16, number))
    host.peer.give(host.running(16), b"")
    for frame in (call(x, number), bootstrap(x), call(x, 16, on_answer=True)):
        with pytest.raises(SlotInUse, match="ids only go up"):
            host.receive(frame)
    host.receive(call((1 << 64) - 8, number))


def test_ids_of_a_slot_that_comes_again_only_go_up() -> None:
    host, number = host_with()
    for x in (16, 23):
        host.peer.receive(call(x, number))
        host.peer.give(host.running(x), b"")
    host.peer.resize(2)
    with pytest.raises(SlotInUse, match="2 are paid for"):
        host.peer.receive(call(26, number))
    host.peer.resize(8)
    for x in (2, 7, 23):
        with pytest.raises(SlotInUse, match="ids only go up"):
            host.peer.receive(call(x, number))
    host.peer.receive(call(31, number))
    with pytest.raises(SlotInUse, match="given up"):
        host.peer.resize(7)
    assert host.running(31)


# ---- room ----


def test_less_room_than_an_error_needs_is_an_error_of_the_protocol() -> None:
    host, number = host_with()
    for frame in (call(0, number, room=MIN_ROOM - 1), bootstrap(room=0)):
        with pytest.raises(GarbageFrame):
            host.receive(frame)
    assert host.calls == []


def test_an_answer_that_does_not_fit_becomes_an_error_that_says_how_much_to_reserve() -> None:
    host, number = host_with()
    head = frames.RETURN_HEAD.size
    host.receive(call(0, number, room=300))
    host.peer.give(host.running(0), b"x" * (300 - head))
    assert opened(0, host.returns[0])[2] == b"x" * (300 - head)
    host.receive(call(1, number, room=300))
    host.peer.give(host.running(1), b"x" * (301 - head))
    error = error_in(1, host.returns[1])
    assert isinstance(error, AnswerTooLarge)
    assert "answer=301" in str(error)
    assert len(host.returns[1]) <= 300


def test_an_answer_too_large_takes_its_capabilities_back() -> None:
    host, number = host_with()
    before = host.held
    host.receive(call(0, number, room=256))
    caps = tuple(sender(host.peer.exports.grant(Plain(), Thing)) for _ in range(20))
    host.peer.give_caps(host.running(0), bytes(256), caps, None)
    assert isinstance(error_in(0, host.returns[0]), AnswerTooLarge)
    assert host.held == before


def test_every_error_fits_into_the_least_room_that_can_be_reserved() -> None:
    refuse_with_any_text()
    require(covered("peer, errors in little room"), "cut", "whole", "long_kind", "wide")


@given(
    message=st.one_of(
        st.text(max_size=400),
        st.text("\U0001f600é\x00x", max_size=400),
        st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xE000), max_size=200),
        st.integers(200, 100_000).map(lambda n: "é" * n),
    ),
    kind=st.one_of(st.text(min_size=1, max_size=300), st.just("K" * 5000)),
    room=st.one_of(st.just(MIN_ROOM), st.integers(MIN_ROOM, MIN_ROOM + 300)),
    own=st.booleans(),
    pipeline=st.booleans(),
)
def refuse_with_any_text(message: str, kind: str, room: int, own: bool, pipeline: bool) -> None:
    host, number = host_with()
    host.receive(call(0, number, room=room, pipeline=pipeline))
    error: Exception = OutOfPages(message) if own else RemoteError(kind, message)
    host.peer.refuse(host.running(0), error)
    frame = host.returns[0]
    assert len(frame) <= room
    back = error_in(0, frame)
    assert type(back) is type(error)
    text = str(back)
    cut = text.endswith("...") and not message.endswith("...")
    if not cut and len(kind) < 60 and message.isascii():
        assert text == str(error)
    if cut and not own and len(kind) < 60 and message.isascii():
        assert str(error).startswith(text[:-3])
        assert len(frame) >= room - 32, "cut more than was needed"
    covered(
        "peer, errors in little room",
        cut=int(cut),
        whole=int(not cut),
        long_kind=int(not own and len(kind) > 64),
        wide=int(not message.isascii()),
    )


@pytest.mark.parametrize("room", [256, 1 << 20])
@pytest.mark.parametrize(
    "error",
    [
        lambda x: ValueError("x" * 20_000 + str(x)),
        lambda x: RemoteError("K" * 20_000 + str(x), ""),
        lambda x: OutOfPages("x" * 20_000 + str(x)),
    ],
    ids=["message", "type name", "own message"],
)
def test_what_is_kept_of_an_error_is_small_however_long_it_is(error: Any, room: int) -> None:
    """The answer keeps its error for calls that are pipelined on it, until Finish, and only
    its slot has been paid for."""
    slots = 64
    host, number = host_with(slots=slots)
    for x in range(slots):
        host.receive(call(x, number, room=room, pipeline=True))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for x in range(slots):
        host.peer.refuse(host.running(x), error(x))
        host.returns.pop(x)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < slots * 1000
    host.receive(finish(0))
    host.receive(call(slots, 1, on_answer=True, room=room))
    told = error_in(slots, host.returns[slots])
    assert isinstance(told, RemoteError | OutOfPages), "it is kept, and told"


# ---- conservation ----


def test_close_refunds_everything_in_the_midst_of_everything() -> None:
    """Bank rule 41: a disconnect drops all four tables."""

    host, number = host_with(Costly())
    host.receive(bootstrap(0))
    host.receive(call(1, number, pipeline=True))
    host.receive(call(2, 1, b"a" * 500, on_answer=True, pipeline=True, caps=(sender(3),)))
    host.receive(call(3, 2, b"b", on_answer=True))
    host.receive(call(4, number, b"c", caps=(promised(1), promised(2))))
    host.peer.imports.receive(5)
    assert host.held[0] > 10_000
    host.peer.close()
    assert host.held == (0, 0)
    assert host.peer.open_answers() == []
    assert len(host.peer.exports) == len(host.peer.imports) == 0
    host.account.close()
    assert (host.bank.pages_used, host.bank.caps_used) == (0, 0)


# ---- both directions, with a caller's peer ----


def test_a_callers_frames_are_what_the_other_side_reads() -> None:
    host = Host()
    caller = Caller()
    host.receive(bootstrap())
    _, (cap,), _ = opened(0, host.returns[0])
    caller.peer.imports.receive(cap.id)
    caller.peer.finish(0, release=False)
    host.receive(caller.sent.pop())
    caps = promised(3), sender(4)
    frame = Message(caller.peer.call(1, 0, 1, cap.id, 512, 9, caps, b"payload"), caps)
    with pytest.raises(UnknownObject):
        raise error_of(host, frame, 1)
    later = caller.peer.call(2, frames.PIPELINE, 1, cap.id, 512, 9, caps[1:], b"payload")
    host.receive(Message(later, caps[1:]))
    answer = host.running(2)
    assert (answer.method, answer.room, answer.place) == (1, 512, 9)
    assert answer.caps == (sender(4),)
    assert host.called() == [b"payload"]
    caller.peer.cancel(2)
    host.receive(caller.sent.pop())
    assert host.cancelled == [2]
    host.hand_out(answer, Plain())
    caller.peer.finish(2, release=True)
    host.receive(caller.sent.pop())
    caller.peer.drop_import(cap.id)
    host.receive(caller.sent.pop())
    assert host.held == (0, 0)


def error_of(host: Host, frame: bytes, x: int) -> Exception:
    host.receive(frame)
    return error_in(x, host.returns[x])


def test_a_return_of_another_question_is_refused_as_garbage() -> None:
    host, number = host_with()
    host.receive(call(0, number))
    host.peer.give(host.running(0), b"value")
    for x in (1, 8, 1 << 40):
        with pytest.raises(GarbageFrame, match=f"Return of {x} stands"):
            Caller().peer.open_return(x, host.returns[0])


def test_a_server_that_sends_noise_for_a_return_is_refused_as_garbage() -> None:
    read_noise()
    require(covered("peer, hostile returns"), "garbage", "read", "errors_read", "errors_garbage")


@settings(max_examples=max(300, settings().max_examples))
@given(
    valid=st.booleans(),
    seed=st.integers(0, 1 << 30),
    edits=st.integers(0, 4),
    cut=st.integers(0, 60),
    noise=st.binary(max_size=60),
    error=st.one_of(
        st.binary(max_size=30),
        st.binary(max_size=6).map(lambda b: b"\x93\x01" + bytes([0xA0 | len(b)]) + b + b"\xa0"),
        st.just(b"\x93\x01\xa1x\xa1y"),
    ),
)
def read_noise(valid: bool, seed: int, edits: int, cut: int, noise: bytes, error: bytes) -> None:
    host, number = host_with()
    host.receive(call(0, number, pipeline=True))
    host.hand_out(host.running(0), Plain())
    frame = bytearray(host.returns[0] if valid else noise)
    draw = random.Random(seed)
    for _ in range(edits):
        if frame:
            frame[draw.randrange(len(frame))] = draw.randrange(256)
    if cut < len(frame) and cut % 3 == 0:
        del frame[cut:]
    caller = Caller().peer
    counts = dict.fromkeys(("garbage", "read", "errors_read", "errors_garbage"), 0)
    try:
        caller.open_return(0, bytes(frame))
        counts["read"] += 1
    except GarbageFrame:
        counts["garbage"] += 1
    try:
        assert isinstance(caller.open_error(error), Exception)
        counts["errors_read"] += 1
    except GarbageFrame:
        counts["errors_garbage"] += 1
    covered("peer, hostile returns", **counts)


def test_a_disembargo_is_sent_back_and_what_comes_back_is_told_and_no_more() -> None:
    host = Host()
    for x in (5, 1 << 40):
        for flags in (0, frames.EXPORT):
            frame = host.peer.disembargo(x, flags)
            host.peer.receive(frame)
            assert host.sent.pop() == host.peer.disembargo(x, flags | frames.LOOPBACK)
            assert not host.sent
            host.peer.receive(host.peer.disembargo(x, flags | frames.LOOPBACK))
            assert not host.sent
            assert host.log.pop() == ("lifted", x, flags)
    with pytest.raises(GarbageFrame):
        host.peer.receive(frame + b"x")


def test_a_resolve_names_an_import_and_an_export_and_is_of_its_length() -> None:
    host = Host()
    frame = host.peer.resolve(1 << 40 | 3, 7)
    host.peer.receive(frame)
    assert host.log.pop() == ("resolved", 1 << 40 | 3, 7)
    for wrong in (frame + b"x", frame[:-1], frame[:16], b"\x20" + frame[1:]):
        with pytest.raises(GarbageFrame):
            host.peer.receive(wrong)
    assert not host.log
    assert not host.sent
