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
        "rpc/bank/bank.py Bank._debit b66f4b15",
        "`g and (pages < 0 or caps < 0` -> `g and (pages <= 0 or caps < 0`",
        "only speed",
        "who waits looks again, and finds nothing more",
    ),
    Survivor(
        "rpc/bank/bank.py Bank.next_to_destroy 4e47b552",
        "`if self.visited or self.state == DEAD:` -> `if self.state == DEAD:`",
        "only speed",
        "a second walk through what was visited finds nothing",
    ),
    Survivor(
        "rpc/bank/owned.py Owned.leave_bank b45341a4",
        "`self.doomed = False` -> `pass`",
        "equivalent",
        "what has left its bank has nothing to give a second time",
    ),
    Survivor(
        "rpc/memory/pages.py Region._renew 15b081b0",
        "`generation += 1` -> `generation += 2`",
        "equivalent",
        "generations are only compared",
    ),
    Survivor(
        "rpc/memory/pages.py PageCap.drop 32dbe6f7",
        "`generation = -1` -> `generation = -2`",
        "equivalent",
        "no generation is below 0",
    ),
    Survivor(
        "rpc/bank/account.py SessionAccount._resize a2ae61fe",
        "`if pages > 0:` -> `if pages >= 0:`",
        "equivalent",
        "it is never called with 0 pages",
    ),
    Survivor(
        "rpc/session/session.py Session.__init__ c2a34964",
        "`vided_count = 0` -> `vided_count = 1`",
        "equivalent",
        "the numbers only have to differ",
    ),
    Survivor(
        "rpc/session/sending.py Sending.__init__ 11ea8e98",
        "`self.flowing = False` -> `pass`",
        "equivalent",
        "set when the lane is opened, before anybody reads it",
    ),
    Survivor(
        "rpc/session/calls_out.py CallsOut.bootstrap 5b3c3fde",
        "`mes.PIPELINE, 0, wanted, 256,` -> `mes.PIPELINE, 1, wanted, 256,`",
        "equivalent",
        "nobody reads the method of a Bootstrap",
    ),
    Survivor(
        "rpc/session/session.py Session.keep bb92a521",
        "`rovided_count += 1` -> `rovided_count -= 1`",
        "equivalent",
        "the numbers only have to differ",
    ),
    Survivor(
        "rpc/session/sending.py Sending.touch 1d742c89",
        "`elf.touched = True` -> `elf.touched = False`",
        "only speed",
        "a second flush finds nothing",
    ),
    Survivor(
        "rpc/session/sending.py Sending.flush b40eb15d",
        "`self._on_fail(error)` -> `pass`",
        "blind",
        "a tail that is garbage at the moment at which what waited is written",
    ),
    Survivor(
        "rpc/session/backlog.py Backlog.give_up 8f512830",
        "`if unsent.place >= 0 and unsent.error is None:` -> `if unsent.error is None:`",
        "equivalent",
        "a call that waits is given up once",
    ),
    Survivor(
        "rpc/session/calls_out.py CallsOut.take 31390a9e",
        "`if plan is None or not self.flowing:` -> `if True:`",
        "only speed",
        "the long way gives the same",
    ),
    Survivor(
        "rpc/session/session.py Session.released 86b8c834",
        "`close(None if self._dead else self.rel` -> `close(None if False else self.rel`",
        "equivalent",
        "a process that is dead holds no pin scope, so nothing is left to refund",
    ),
    Survivor(
        "rpc/session/calls_in.py CallsIn.on_call 34bd2e45",
        "`if type(coro) is not CoroutineType:` -> `if True:`",
        "only speed",
        "a coroutine is its own native form",
    ),
    Survivor(
        "rpc/session/calls_in.py CallsIn.on_call 33befad8",
        "`if type(value) is plain:` -> `if False:`",
        "only speed",
        "the long way gives the same",
    ),
    Survivor(
        "rpc/session/kept.py Kept.forget aa1a4fde",
        "`en is not None and (not self.refs):` -> `en is not None:`",
        "equivalent",
        "who is told looks whether anything is left",
    ),
    Survivor(
        "rpc/session/fairness.py FairQueue.pick a6db3792",
        "`if turn == 4:` -> `if turn == 5:`",
        "equivalent",
        "any other look of the eight would do",
    ),
    Survivor(
        "rpc/session/returns.py Returns.frame_of 154d6ea4",
        "`if method.returns is None and method.result.has_caps:` -> `if method.result.has_caps:`",
        "equivalent",
        "passed over, for it settles a promise",
    ),
    Survivor(
        "rpc/session/returns.py Returns.close cff73f0a",
        "`et is not None and target.state == PROMISED:` -> `et is not None:`",
        "equivalent",
        "what stands there is promised",
    ),
    Survivor(
        "rpc/session/returns.py Returns._decoded 33dbc462",
        "`if method.result.has_caps:` -> `if True:`",
        "only speed",
        "data decodes to the same with no capabilities at hand",
    ),
    Survivor(
        "rpc/session/returns.py Returns._opened 4108d2e2",
        "`ding.held and (not leave):` -> `ding.held and leave:`",
        "equivalent",
        "while calls wait, an answer that is not taken has left its slot already",
    ),
    Survivor(
        "rpc/session/returns.py Returns._opened 0205a9ca",
        "`if sending.held and (not leave):` -> `if not leave:`",
        "only speed",
        "nothing waits, so nothing is sent",
    ),
    Survivor(
        "rpc/session/returns.py Returns.detach 07e8f180",
        "`if question.decode_eagerly is not None:` -> `if True:`",
        "blind",
        "a hostile server that wants a Finish for plain data",
    ),
    Survivor(
        "rpc/wire/export_table.py ExportTable.drop 68b01ece",
        "`lf.entries) * 4 <= self._high` -> `lf.entries) * 5 <= self._high`",
        "only speed",
        "when a table is made small",
    ),
    Survivor(
        "rpc/wire/exports.py Bushel._drop 894ba004",
        "`self._uses) * 4 <= self._high` -> `self._uses) * 5 <= self._high`",
        "only speed",
        "when a table is made small",
    ),
    Survivor(
        "rpc/wire/peer.py Peer.finish 73ce2b3c",
        "`INISH, flags, 0, x))` -> `INISH, flags, 1, x))`",
        "equivalent",
        "nobody reads that field of a Finish",
    ),
    Survivor(
        "rpc/wire/peer.py Peer._refuse 7aea9c8d",
        "`kind, ''))) - 8)` -> `kind, ''))) - 9)`",
        "diagnostic only",
        "a message is cut one byte earlier",
    ),
    Survivor(
        "rpc/wire/peer.py Peer._refuse 1399eec5",
        "`ancelled else 0)` -> `ancelled else 1)`",
        "equivalent",
        "the flag is set already",
    ),
    Survivor(
        "rpc/wire/answers.py waits_for_itself 0e5646e2",
        "`seen.add(other)` -> `pass`",
        "only speed",
        "promises that wait in a circle are refused, so the walk ends",
    ),
    Survivor(
        "rpc/wire/answers.py Answer.__init__ c64648f5",
        "`self.flags = self.method = self.target = self.room = self.place = 0` -> `pass`",
        "equivalent",
        "set by each call before anybody reads them",
    ),
    Survivor(
        "rpc/wire/answers.py Answer.__init__ 73c3aa21",
        "`self.served: Any = None` -> `pass`",
        "equivalent",
        "set by each call before anybody reads it",
    ),
    Survivor(
        "rpc/wire/imports.py Imports.drop 5985596d",
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
