"""Made mutants that no test kills, and why each may live.

`change` is for the reader and has to say what the mutant says. Who makes a mutant die, or
changes its statement, takes it off this list.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CLASSES: Final = ("equivalent", "only speed", "diagnostic only", "blind")


class Survivor(NamedTuple):
    """One of them. `name`: file, function and key; `kind`: one of CLASSES."""

    name: str
    change: str
    kind: str
    because: str


SURVIVORS: Final[tuple[Survivor, ...]] = (
    Survivor(
        "rpc/bank/bank.py Bank._debit 17f81679",
        "`g and (pages < 0 or caps < 0` -> `g and (pages <= 0 or caps < 0`",
        "only speed",
        "who waits looks again, and finds nothing more",
    ),
    Survivor(
        "rpc/bank/bank.py Bank.next_to_destroy 1b2a466d",
        "`if self.visited or self.state == DEAD:` -> `if self.state == DEAD:`",
        "only speed",
        "a second walk through what was visited finds nothing",
    ),
    Survivor(
        "rpc/bank/bank.py Bank.tell_waiting a57abde8",
        "`self._waiting = None` -> `pass`",
        "only speed",
        "who was woken strikes itself when it looks, and is woken once more till then",
    ),
    Survivor(
        "rpc/bank/owned.py Owned.leave_bank a96e7ca1",
        "`self.doomed = False` -> `pass`",
        "equivalent",
        "what has left its bank has nothing to give a second time",
    ),
    Survivor(
        "rpc/memory/pages.py Region._renew 5cfdd540",
        "`generation += 1` -> `generation += 2`",
        "equivalent",
        "generations are only compared",
    ),
    Survivor(
        "rpc/memory/pages.py PageCap.drop 13ffb2ed",
        "`generation = -1` -> `generation = -2`",
        "equivalent",
        "no generation is below 0",
    ),
    Survivor(
        "rpc/bank/account.py SessionAccount._resize ab5e6219",
        "`if pages > 0:` -> `if pages >= 0:`",
        "equivalent",
        "it is never called with 0 pages",
    ),
    Survivor(
        "rpc/session/session.py Session.__init__ a2bd828c",
        "`f._provided = 0` -> `f._provided = 1`",
        "equivalent",
        "the numbers only have to differ",
    ),
    Survivor(
        "rpc/session/session.py Session.__init__ 32bb9b9c",
        "`self.flowing = False` -> `pass`",
        "equivalent",
        "set when the lane is opened, before anybody reads it",
    ),
    Survivor(
        "rpc/session/session.py Session.bootstrap 31a625c9",
        "`mes.PIPELINE, 0, interface._p` -> `mes.PIPELINE, 1, interface._p`",
        "equivalent",
        "nobody reads the method of a Bootstrap",
    ),
    Survivor(
        "rpc/session/session.py Session.call a2cf25fb",
        "`lane = self.lane or self.open_lane()` -> `lane = self.lane`",
        "equivalent",
        "who has something to call has opened the lane, to release it",
    ),
    Survivor(
        "rpc/session/session.py Session.keep e6d464d7",
        "`elf._provided += 1` -> `elf._provided -= 1`",
        "equivalent",
        "the numbers only have to differ",
    ),
    Survivor(
        "rpc/session/session.py Session.send 9f8b2c6b",
        "`.write(frame, 0)` -> `.write(frame, 1)`",
        "blind",
        "a byte too much, paid and given back, where a frame of the protocol waits for room",
    ),
    Survivor(
        "rpc/session/session.py Session.answer e11797c9",
        "`into = self._into or self._open_into()` -> `into = self._open_into()`",
        "only speed",
        "the lane is looked up again",
    ),
    Survivor(
        "rpc/session/session.py Session.answer 0e7fe4d2",
        "`room = 0` -> `room = 1`",
        "equivalent",
        "no answer has 1 byte",
    ),
    Survivor(
        "rpc/session/session.py Session.touch b6af02bc",
        "`elf.touched = True` -> `elf.touched = False`",
        "only speed",
        "a second flush finds nothing",
    ),
    Survivor(
        "rpc/session/session.py Session.flush 2afa847f",
        "`self.close(error)` -> `pass`",
        "blind",
        "a tail that is garbage at the moment at which what waited is written",
    ),
    Survivor(
        "rpc/session/session.py Session._give_up_unsent 06c37511",
        "`if unsent.place >= 0 and unsent.error is None:` -> `if unsent.error is None:`",
        "equivalent",
        "a call that waits is given up once",
    ),
    Survivor(
        "rpc/session/session.py Session.take c6e61e35",
        "`URN <= length <= room):` -> `URN <= length > room):`",
        "only speed",
        "the long way gives the same",
    ),
    Survivor(
        "rpc/session/session.py Session.drain 8460e868",
        "`t if credit < 0 else 0` -> `t if credit < 1 else 0`",
        "equivalent",
        "both are 0",
    ),
    Survivor(
        "rpc/session/session.py Session.released d6992429",
        "`close(None if self._dead else self.rel` -> `close(None if False else self.rel`",
        "equivalent",
        "a process that is dead holds no turn, so nothing is left to refund",
    ),
    Survivor(
        "rpc/session/session.py Session.released 96a485bd",
        "`e) is not None and (not via._dead):` -> `e) is not None:`",
        "blind",
        "a session over which another was introduced, and whose process dies first",
    ),
    Survivor(
        "rpc/session/session.py Session.die 401e648b",
        "`self._outbox.clear()` -> `pass`",
        "equivalent",
        "an account that went with its process takes nothing back",
    ),
    Survivor(
        "rpc/session/server.py Server.on_call 56047de9",
        "`if decode is None or answer.caps:` -> `if True:`",
        "only speed",
        "the long way gives the same",
    ),
    Survivor(
        "rpc/session/server.py Server.on_call e9a33026",
        "`if self._redeemable:` -> `if True:`",
        "equivalent",
        "a call that nothing was reserved for redeems nothing",
    ),
    Survivor(
        "rpc/session/server.py Server.on_call 748871ea",
        "`if type(coro) is not CoroutineType:` -> `if True:`",
        "only speed",
        "a coroutine is its own native form",
    ),
    Survivor(
        "rpc/session/server.py Server.on_call 857bc79b",
        "`if type(value) is plain:` -> `if False:`",
        "only speed",
        "the long way gives the same",
    ),
    Survivor(
        "rpc/session/server.py Server._fail 68a70bf8",
        "`aised', method, exc_info=error)` -> `aised', method)`",
        "diagnostic only",
        "the traceback in a debug message",
    ),
    Survivor(
        "rpc/session/server.py Server._cancel f9fa4252",
        "`if task is not None and (not task.cancels):` -> `if not task.cancels:`",
        "equivalent",
        "a call that runs has its task before the next frame is read",
    ),
    Survivor(
        "rpc/session/server.py Server._give 9774b2b9",
        "`things: list[Any] = []` -> `pass`",
        "equivalent",
        "read only with capabilities, and then set",
    ),
    Survivor(
        "rpc/session/charging.py Kept.forget 0d9bc8c6",
        "`en is not None and (not self.refs):` -> `en is not None:`",
        "equivalent",
        "who is told looks whether anything is left",
    ),
    Survivor(
        "rpc/session/fairness.py FairQueue.pick ddaaaea1",
        "`if turn == 4:` -> `if turn == 5:`",
        "equivalent",
        "any other look of the eight would do",
    ),
    Survivor(
        "rpc/session/returns.py Returns.remember 8cb592f8",
        "`if method.returns is None and method.result.has_caps:` -> `if method.result.has_caps:`",
        "equivalent",
        "passed over, for it settles a promise",
    ),
    Survivor(
        "rpc/session/returns.py Returns.close ff0743b6",
        "`if target.state == PROMISED:` -> `if True:`",
        "equivalent",
        "what stands there is promised",
    ),
    Survivor(
        "rpc/session/returns.py Returns.close 2bf02db0",
        "`self.settles.clear()` -> `pass`",
        "equivalent",
        "the session is over and nobody looks there",
    ),
    Survivor(
        "rpc/session/returns.py Returns.close e44f27a4",
        "`self.rides.clear()` -> `pass`",
        "equivalent",
        "the session is over and nobody looks there",
    ),
    Survivor(
        "rpc/session/returns.py Returns._decode 8acd1227",
        "`if result.has_caps:` -> `if True:`",
        "only speed",
        "data decodes to the same with no capabilities at hand",
    ),
    Survivor(
        "rpc/session/returns.py Returns.open 441e99d2",
        "`log.calls and (not leave):` -> `log.calls and leave:`",
        "equivalent",
        "while calls wait, an answer that is not taken has left its slot already",
    ),
    Survivor(
        "rpc/session/returns.py Returns.open 989dd275",
        "`if session.backlog.calls and (not leave):` -> `if not leave:`",
        "only speed",
        "nothing waits, so nothing is sent",
    ),
    Survivor(
        "rpc/session/returns.py Returns.detach afd0d30f",
        "`if x in self.early:` -> `if True:`",
        "blind",
        "a hostile server that wants a Finish for plain data",
    ),
    Survivor(
        "rpc/wire/exports.py Bushel._drop 5715b2bf",
        "`f._entries) * 4 <= self._high` -> `f._entries) * 5 <= self._high`",
        "only speed",
        "when a table is made small",
    ),
    Survivor(
        "rpc/wire/peer.py Peer.finish a2d3c28e",
        "`INISH, flags, 0, x))` -> `INISH, flags, 1, x))`",
        "equivalent",
        "nobody reads that field of a Finish",
    ),
    Survivor(
        "rpc/wire/peer.py Peer._refuse a5d51096",
        "`kind, ''))) - 8)` -> `kind, ''))) - 9)`",
        "diagnostic only",
        "a message is cut one byte earlier",
    ),
    Survivor(
        "rpc/wire/peer.py Peer._refuse 1dcfc459",
        "`ancelled else 0)` -> `ancelled else 1)`",
        "equivalent",
        "the flag is set already",
    ),
    Survivor(
        "rpc/wire/peer.py Peer._unqueue 3f7015f3",
        "`if answer.queued_charge and self._account is` -> `if self._account is`",
        "only speed",
        "0 bytes are given back",
    ),
    Survivor(
        "rpc/wire/answers.py waits_for_itself 80581cbc",
        "`seen.add(other)` -> `pass`",
        "only speed",
        "promises that wait in a circle are refused, so the walk ends",
    ),
    Survivor(
        "rpc/wire/answers.py Answer.__init__ 87fe9397",
        "`self.x = -1` -> `self.x = -2`",
        "equivalent",
        "ids begin at 0",
    ),
    Survivor(
        "rpc/wire/answers.py Answer.__init__ c2ec1ba7",
        "`self.flags = self.method = self.target = self.room = self.place = 0` -> `pass`",
        "equivalent",
        "set by each call before anybody reads them",
    ),
    Survivor(
        "rpc/wire/answers.py Answer.__init__ b8691376",
        "`self.served: Any = None` -> `pass`",
        "equivalent",
        "set by each call before anybody reads it",
    ),
    Survivor(
        "rpc/wire/imports.py Imports.drop 9e87ab9a",
        "`_counts) * 4 <= self._high:` -> `_counts) * 4 < self._high:`",
        "only speed",
        "when a table is made small",
    ),
    Survivor(
        "executor/clock.py VirtualClock.idle da4a187f",
        "`if deadline > self._now and` -> `if deadline >= self._now and`",
        "equivalent",
        "to jump to the time that it is",
    ),
    Survivor(
        "executor/loop.py _strip 80262aa2",
        "`if caught:` -> `if False:`",
        "only speed",
        "a frame that is running refuses to be cleared",
    ),
    Survivor(
        "executor/observed.py ObservedLoop.__init__ 7d7d3e22",
        "`self._burst = TURN` -> `pass`",
        "equivalent",
        "set by `run` before anybody reads it",
    ),
    Survivor(
        "executor/ready.py select_batch 58f00a9f",
        "`if unhurried:` -> `if True:`",
        "only speed",
        "the queue is turned and turned back",
    ),
    Survivor(
        "executor/task.py Task.poll 761dbc04",
        "`if error is None or outcome.unclaimed is not None:` -> `if True:`",
        "only speed",
        "asked for once more, the error is the same",
    ),
    Survivor(
        "executor/timeout.py TimeoutFuture.registrations 83fe11e8",
        "`ences if self._timers is not None and self.live else 0` -> `ences if self.live else 0`",
        "equivalent",
        "a timer is live only once it was pushed",
    ),
    Survivor(
        "executor/timers.py Sleep.registrations 806a9293",
        "`ences if self._timers is not None and self.live else 0` -> `ences if self.live else 0`",
        "equivalent",
        "a timer is live only once it was pushed",
    ),
    Survivor(
        "executor/timers.py Sleep.registrations d9a51a68",
        "`s is not None and self.live els` -> `s is not None or self.live els`",
        "equivalent",
        "to drop a sleep whose timer has expired does nothing",
    ),
    Survivor(
        "executor/timers.py Sleep.registrations ed5d18d2",
        "`s is not None and self.live else 0` -> `s is not None else 0`",
        "equivalent",
        "to drop a sleep whose timer has expired does nothing",
    ),
)
