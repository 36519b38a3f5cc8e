"""All states of two sessions with a few calls, and the faults that the search has to find."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pinfut.rpc import SimKernel
from pinfut.rpc.memory.lane import RingRequests
from pinfut.rpc.objects.promise import Unsent
from pinfut.rpc.session.backlog import Backlog
from pinfut.rpc.session.calls_in import CallsIn
from pinfut.rpc.wire.answers import Answer
from pinfut.rpc.wire.peer import Peer
from pinfut.slots import CANCELLING, READY, WAITING, Slot, SlotTable
from tests.explore.sessions import Sessions
from tests.explore.states import Fault, explore, report

ONCE = "at rest", "value", "cancelling", "a late reply"
CROSSING = (*ONCE, "a cancel crosses its reply")
ENDING = ("freed", "SessionClosed", "PeerDied", "closed while it works")
BEHIND = ("answered though cancelled", "dropped when it was there")
WAITING_FOR = ("a call waits for a slot", "dropped before it was sent")

TURN = "turns"
"""In the place of what ends: all calls are made at the beginning, and turns are whole."""

Case = tuple[tuple[str, ...], int, tuple[str, ...], tuple[str, ...]]
CASES: list[Case] = [
    (("wait",), 1, ("close", "kill"), CROSSING + ENDING + BEHIND),
    (("wait", "wait"), 2, (), CROSSING + BEHIND),
    (("wait", "wait"), 1, ("close", "kill"), CROSSING + ENDING + BEHIND + WAITING_FOR),
    (("make", "on 0"), 1, (), CROSSING + BEHIND + WAITING_FOR),
    (("make", "on 0"), 2, (), (*CROSSING, *BEHIND, "a call waits for another")),
]
if os.environ.get("PINFUT_SOAK") == "1":
    CASES += [
        (("wait", "wait"), 2, ("close", "kill"), CROSSING + ENDING + BEHIND),
        (("make", "on 0"), 2, ("close", "kill"), CROSSING + ENDING + BEHIND),
        (("wait", "wait", "wait"), 2, (), CROSSING + BEHIND + WAITING_FOR),
        (("make", "on 0", "on 0"), 3, (TURN,), (*ONCE, *BEHIND, "a call waits for another")),
        (("wait", "wait", "wait"), 3, (TURN,), (*ONCE, *BEHIND)),
        (("wait", "wait", "wait", "wait"), 2, (TURN,), (*ONCE, *BEHIND, *WAITING_FOR)),
    ]


def name_of(case: Case) -> str:
    script, slots, ends, _ = case
    return " ".join((f"{', '.join(script)}; slots {slots}", *ends))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_no_order_of_calls_cancels_replies_and_ends_loses_or_doubles_anything(case: Case) -> None:
    script, slots, ends, needed = case
    turns = TURN in ends
    ends = tuple(end for end in ends if end != TURN)
    explored = explore(lambda: Sessions(script, slots, ends, turns), at_most=1_000_000)
    report(f"all states of two sessions ({name_of(case)})", explored, *needed)


def cancel_at_once(self: SlotTable[Any], x: int) -> bool:
    slot = self.peek(x)
    if slot is None or slot.state == CANCELLING:
        return False
    waits = slot.state == WAITING
    slot.state = CANCELLING
    self.free.append(slot)  # and once more when the reply comes
    return waits


def acquire_without_counting(self: SlotTable[Any]) -> Slot[Any]:
    if not self.free:
        self._none_free()
    slot = self.free.popleft()
    slot.x, slot.state = slot.index, WAITING
    return slot


def ready_asleep(self: SlotTable[Any], xs: list[int]) -> list[int]:
    rest = []
    for x in xs:
        slot = self.find(x)
        if slot.state == WAITING:
            slot.state = READY
        else:
            rest.append(x)
    return rest


real_mark_ready = SlotTable.mark_ready


def ignore_what_is_late(self: SlotTable[Any], xs: list[int]) -> list[int]:
    real_mark_ready(self, xs)
    return []


real_cancel = CallsIn.on_cancel


def refuse_and_cancel(self: CallsIn, answer: Answer, /) -> None:
    real_cancel(self, answer)
    self._peer.refuse(answer, KeyError("cancelled"))  # and once more when it has ended


real_handled = CallsIn.on_handled


def refund_twice(self: CallsIn, answer: Answer, task: Any) -> None:
    self._account.give(answer.charged)
    real_handled(self, answer, task)


def refund_nothing(self: CallsIn, answer: Answer, task: Any) -> None:
    answer.charged = 0
    real_handled(self, answer, task)


def forget_the_place(self: Backlog, unsent: Unsent) -> None:
    if unsent.place >= 0:
        unsent.give_up()
        self._sending.account.give(unsent.charge)
        unsent.charge = 0


real_publish = RingRequests.publish


def publish_in_silence(self: RingRequests) -> bool:
    answers = any(self.completions.posted)  # call 0 is Bootstrap
    return real_publish(self) and not answers


def close_in_silence(self: SimKernel, end: Any, *, died: bool = False) -> None:
    end.released = True
    end.process.caps.remove(end.handle)


def unqueue_nothing(self: Peer, answer: Answer) -> None:
    pass


def finish_nothing(self: Peer, x: int, *, release: bool) -> None:
    pass


ONE = Sessions, (("wait",), 1, ("close",))
TWO = Sessions, (("wait", "wait"), 1, ())
CHAIN = Sessions, (("make", "on 0"), 2, ())
FAULTS: list[tuple[type, str, Any, Any, str]] = [
    (SlotTable, "cancel", cancel_at_once, ONE, "slots are lost or double"),
    (SlotTable, "acquire", acquire_without_counting, ONE, "SlotInUse"),
    (SlotTable, "mark_ready", ready_asleep, ONE, "has an answer and sleeps"),
    (SlotTable, "mark_ready", ignore_what_is_late, TWO, "nothing will happen|to rest"),
    (CallsIn, "on_cancel", refuse_and_cancel, ONE, "charged|UnknownReply|handlers|working"),
    (CallsIn, "on_handled", refund_twice, ONE, "charged"),
    (CallsIn, "on_handled", refund_nothing, ONE, "charged"),
    (Backlog, "give_up", forget_the_place, TWO, "a place is lost"),
    (RingRequests, "publish", publish_in_silence, ONE, "something to read"),
    (SimKernel, "close", close_in_silence, ONE, "nothing will happen"),
    (Peer, "_unqueue", unqueue_nothing, CHAIN, "charged"),
    (Peer, "finish", finish_nothing, CHAIN, "SlotInUse"),
]


@pytest.mark.parametrize(
    ("owner", "name", "fault", "where", "what"),
    FAULTS,
    ids=[getattr(fault, "__name__", "") for _, _, fault, _, _ in FAULTS],
)
def test_the_search_finds_a_planted_fault(
    owner: type, name: str, fault: Any, where: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sizes = where
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(Fault, match=what):
        explore(lambda: make(*sizes))
