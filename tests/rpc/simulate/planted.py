"""Faults that are planted in the runtime for the simulator to find, with the trap of each.

A fault is a piece of source text that stands exactly once in its file, and what it is replaced
by, as those of `tests/mutants`; here nobody says which test sees it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Planted(NamedTuple):
    """One fault: the trap or the promise that it falls into, and what is wrong."""

    trap: str
    what: str
    file: str
    old: str
    new: str

    @property
    def name(self) -> str:
        """What is wrong, as the id of a test."""
        return f"{self.trap}: {self.what}"


SLOTS: Final = "pinfut/slots.py"
BANK: Final = "rpc/bank/bank.py"
ACCOUNT: Final = "rpc/bank/account.py"
LANE: Final = "rpc/memory/lane.py"
FUNDS: Final = "rpc/bank/funds.py"
ENDPOINT: Final = "rpc/kernel/sim/endpoint.py"
RING: Final = "rpc/memory/ring.py"
SIM: Final = "rpc/kernel/sim/kernel.py"
OWNED: Final = "rpc/bank/owned.py"
NOTIFICATION: Final = "rpc/memory/notification.py"
EVENTS: Final = "rpc/memory/event_buffer.py"
PEER: Final = "rpc/wire/peer.py"
IMPORTS: Final = "rpc/wire/imports.py"
TABLE: Final = "rpc/wire/export_table.py"
SESSION: Final = "rpc/session/session.py"
CALLS_IN: Final = "rpc/session/calls_in.py"
CALLS_OUT: Final = "rpc/session/calls_out.py"
SENDING: Final = "rpc/session/sending.py"
KEPT: Final = "rpc/session/kept.py"
RETURNS: Final = "rpc/session/returns.py"
BACKLOG: Final = "rpc/session/backlog.py"
CHARGING: Final = "rpc/session/charging.py"
INTRODUCE: Final = "rpc/session/introduce.py"
SHARED: Final = "rpc/session/shared.py"

PLANTED: Final = (
    # ---- slots ----
    Planted(
        "T1",
        "an id is used again",
        SLOTS,
        "        self._last = slot.x = x\n",
        "        slot.x = x = x % (4 * self.capacity)\n        self._last = x\n",
    ),
    Planted(
        "T1",
        "a slot is taken that is not free",
        SLOTS,
        "        self.free.popleft()\n",
        "        if len(self.free) == 1:\n            self.free.popleft()\n",
    ),
    Planted(
        "T2",
        "a slot is free before its cancel is acknowledged",
        SLOTS,
        "        slot.state = CANCELLING\n        slot.waker = None\n        return True\n",
        "        self.release(slot)\n        return True\n",
    ),
    Planted(
        "T2",
        "a slot that was left to its holder is free twice",
        SLOTS,
        "        self.free.append(fresh)\n        slot.state = DETACHED\n",
        "        self.free += (fresh, fresh)\n        slot.state = DETACHED\n",
    ),
    Planted(
        "T31",
        "a place for an answer is given to two calls",
        LANE,
        "        self.places.append(place)\n        return page",
        "        self.places += (place, place)[: len(self.places)] or (place,)\n"
        "        return page",
    ),
    # ---- wakes ----
    Planted(
        "T7",
        "a reply wakes nobody",
        SLOTS,
        "                slot.state = READY\n                waker = slot.waker\n"
        "                if waker is not None:\n",
        "                slot.state = READY\n                waker = slot.waker\n"
        "                if waker is not None and x % 8:\n",
    ),
    Planted(
        "T7",
        "a waiter parks beside a signal that is there",
        NOTIFICATION,
        "        if self._summary:\n            return False\n        self._waker = waker\n",
        "        self._waker = waker\n",
    ),
    Planted(
        "T8",
        "signals are cleared after they were acted on",
        "rpc/vat.py",
        "                    if not self._service(end):\n",
        "                    gone_on = self._service(end)\n"
        "                    process.take()\n                    if not gone_on:\n",
    ),
    Planted(
        "T9",
        "only the last signal counts",
        NOTIFICATION,
        "        words[index] |= 1 << badge % _BITS\n",
        "        words[index] = 1 << badge % _BITS\n",
    ),
    Planted(
        "T9",
        "two that are signalled in a turn are one",
        SIM,
        "        waiting = list(self._signalled)\n",
        "        waiting = list(self._signalled)[:1]\n",
    ),
    Planted(
        "T35",
        "what is left over after a service is forgotten",
        "rpc/vat.py",
        "                if end is not None:\n                    queue.put(end, end.level)\n",
        "",
    ),
    Planted(
        "row 60",
        "a session signals before it publishes",
        ENDPOINT,
        "        news = out is not None and out.publish()\n",
        "        if out is not None and out.unpublished:\n"
        "            self._kernel.signal(self)\n"
        "        news = out is not None and out.publish()\n",
    ),
    Planted(
        "row 60",
        "a server signals before its answers are there",
        ENDPOINT,
        "        if into is not None and into.publish():\n            news = True\n",
        "        if into is not None and into.completions.posted:\n"
        "            self._kernel.signal(self)\n"
        "        if into is not None:\n            into.publish()\n",
    ),
    # ---- charges and refunds ----
    Planted(
        "T4",
        "the charge of a handler ends with its cancel",
        CALLS_IN,
        "    def on_cancel(self, answer: Answer, /) -> None:\n",
        "    def on_cancel(self, answer: Answer, /) -> None:\n"
        "        self._account.give(answer.charged)\n        answer.charged = 0\n",
    ),
    Planted(
        "T5",
        "a handler is refunded twice",
        CALLS_IN,
        "        self._account.give(answer.charged)\n        answer.charged = 0\n"
        "        answer.kept",
        "        self._account.give(min(2 * answer.charged, self._account.used))\n"
        "        answer.charged = 0\n        answer.kept",
    ),
    Planted(
        "T5",
        "a handler is never refunded",
        CALLS_IN,
        "        self._account.give(answer.charged)\n        answer.charged = 0\n"
        "        answer.kept",
        "        answer.charged = 0\n        answer.kept",
    ),
    Planted(
        "T5",
        "a session that ends refunds nothing that waits for a slot",
        BACKLOG,
        "            if refund:\n                self._sending.account.give(unsent.charge)\n",
        "",
    ),
    Planted(
        "T5",
        "a call that waited for a slot is refunded twice when it is given up",
        BACKLOG,
        "            unsent.charge = 0\n",
        "            pass\n",
    ),
    Planted(
        "T5",
        "what waits for the ring is refunded twice",
        SENDING,
        "                self.account.give(sum([charge for _, charge in frames[:taken]]))\n",
        "                self.account.give(2 * sum([charge for _, charge in frames[:taken]]))\n",
    ),
    Planted(
        "T20",
        "banks above are not debited",
        BANK,
        "            bank.pages_used += pages\n            bank.caps_used += caps\n",
        "            if bank is self:\n                bank.pages_used += pages\n"
        "            bank.caps_used += caps\n",
    ),
    Planted(
        "T20",
        "banks above are not asked",
        BANK,
        "                paying = not bank.funded\n",
        "                paying = False\n",
    ),
    Planted(
        "T19",
        "a limit below what is used lets buy",
        BANK,
        "                if pages and bank.pages_used + pages > bank.page_limit:\n"
        "                    raise",
        "                if pages and 0 < bank.page_limit - bank.pages_used < pages:\n"
        "                    raise",
    ),
    Planted(
        "T38",
        "a page is not sold back",
        ACCOUNT,
        "            self._source.sell(-pages, 0)\n",
        "            self._source.sell(-pages - (pages < -1), 0)\n",
    ),
    Planted(
        "T38",
        "an account sells a page that is in use",
        ACCOUNT,
        "            self._resize(1 - free // PAGE)\n",
        "            self._resize(-(free // PAGE) - 1)\n",
    ),
    Planted(
        "refund",
        "a capability is never given back",
        ACCOUNT,
        "            self.free_caps -= CAP_LOT\n        self.free_caps += 1\n",
        "            self.free_caps -= CAP_LOT\n",
    ),
    Planted(
        "refund",
        "a session gives its account back with what is charged in it",
        FUNDS,
        "        self.far.seize()\n        for ticket",
        "        for ticket",
    ),
    # ---- capabilities ----
    Planted(
        "T24",
        "a release is lost",
        "rpc/wire/exports.py",
        "        if use.uses == count:\n",
        "        if use.uses == count and number % 4:\n",
    ),
    Planted(
        "T24",
        "a release counts one, however often it was handed out",
        IMPORTS,
        "        received: int = counts[0]\n        return received\n",
        "        received: int = min(1, counts[0])\n        return received\n",
    ),
    Planted(
        "T24",
        "what comes again is not counted",
        IMPORTS,
        "        self._counts[number][0] += 1\n",
        "        pass\n",
    ),
    Planted(
        "T34",
        "capabilities of a late reply are not released",
        RETURNS,
        "            self._arrive(question)\n            self.open(question, release=True)\n",
        "            self._arrive(question)\n            self.open(question, release=False)\n",
    ),
    Planted(
        "T34",
        "a promise that nobody holds is not given up",
        CALLS_OUT,
        "        elif state == WAITING:\n            self.questions.cancel(question.x)\n"
        "            self.peer.cancel(question.x)\n",
        "        elif state == WAITING:\n            self.questions.cancel(question.x)\n",
    ),
    Planted(
        "T28",
        "an object that is handed out costs nothing",
        TABLE,
        "        price = prices.EXPORT + type(thing)._pinfut_charge\n        if self.account",
        "        price = prices.EXPORT + type(thing)._pinfut_charge\n"
        "        self.account = self.account if self._next & 3 else None\n"
        "        if self.account",
    ),
    Planted(
        "T28",
        "a call that waits for another's answer is refunded twice",
        PEER,
        "            self._account.give(answer.charged)\n        answer.charged = 0\n",
        "            self._account.give(answer.charged)\n"
        "        answer.charged //= 2 if answer.x % 2 else 1 << 60\n",
    ),
    Planted(
        "T25",
        "frames overtake each other",
        RING,
        "        self.more = head < seen or ends\n        return frames\n",
        "        self.more = head < seen or ends\n        return frames[::-1]\n",
    ),
    Planted(
        "T25",
        "of the calls that wait for a slot the newest goes first",
        BACKLOG,
        "            unsent = self.calls.popleft()\n",
        "            unsent = self.calls.pop()\n",
    ),
    Planted(
        "T25",
        "what waits for the ring is overtaken",
        SENDING,
        "            written = not self._frames and self._submit(frame)\n",
        "            written = self._submit(frame)\n",
    ),
    Planted(
        "T25",
        "calls that waited for an answer go on in another order",
        PEER,
        "        for call in answer.line():\n",
        "        for call in [*answer.line()][::-1]:\n",
    ),
    # ---- the other side's bytes ----
    # ---- pins, destruction, death ----
    Planted(
        "T21",
        "pins hold nothing of a bank that is destroyed",
        OWNED,
        "        if not self.pins:\n            self._reclaim()\n            return\n",
        "        if not self.pins or True:\n            self._reclaim()\n            return\n",
    ),
    Planted(
        "T21",
        "a pin scope pins nothing that is kept",
        KEPT,
        "        if self._pins:\n            self.alive = False\n        else:\n"
        "            self._go()\n",
        "        self._go()\n",
    ),
    Planted(
        "T21",
        "the inner one of two pin scopes lets go of what the outer one holds",
        KEPT,
        "        self._pins += 1\n",
        "        self._pins += self._pins == 0\n",
    ),
    Planted(
        "T21",
        "a pin scope leaves its pins",
        CHARGING,
        "        while self._held:\n            thing, generation",
        "        while len(self._held) > 1:\n            thing, generation",
    ),
    Planted(
        "death",
        "nobody is told of a death",
        SIM,
        "                self.close(thing, died=True)\n",
        "                thing.released = True\n",
    ),
    # ---- events ----
    Planted(
        "T10",
        "a state between two events is not signalled by arming",
        EVENTS,
        "        if self._version(place) > self._seen[place] or self._ended(place):\n",
        "        if self._ended(place):\n",
    ),
    Planted(
        "T10",
        "an event comes though nobody asked for one",
        EVENTS,
        "            if place < self.shape.places and self._armed[place]:\n",
        "            if place < self.shape.places:\n",
    ),
    Planted(
        "T11",
        "a cancelled source is one of its place's next",
        EVENTS,
        "        self._generations[place] += 1\n        self._seen[place] = 0\n        at =",
        "        self._generations[place] += self._generations[place] == 0\n"
        "        self._seen[place] = 0\n        at =",
    ),
    Planted(
        "events",
        "what was lost is not counted",
        EVENTS,
        "                lost = version - seen - len(states)\n",
        "                lost = 0\n",
    ),
    Planted(
        "events",
        "an older state stands where the newest should",
        "rpc/session/subscriptions.py",
        "version % shape.keep * shape.length\n        words[start",
        "(version + 1) % shape.keep * shape.length\n        words[start",
    ),
    Planted(
        "rule 38",
        "who asks after a source has ended is not told",
        EVENTS,
        "        if self._version(place) > self._seen[place] or self._ended(place):\n",
        "        if self._version(place) > self._seen[place]:\n",
    ),
    Planted(
        "rule 38",
        "a source that has ended says so again and again",
        EVENTS,
        "                    if event.last:\n                        self._close(place)\n",
        "                    self._armed[place] = event.last\n"
        "                    if event.last:\n                        self._ready[place] = None\n",
    ),
    # ---- shared values ----
    Planted(
        "row 9",
        "a shared value is made anew for each subscriber",
        SHARED,
        "next(iter(self._refs)).get() if self._refs else self._make()",
        "self._make()",
    ),
    Planted(
        "T23",
        "who leaves a shared value charges the others",
        SHARED,
        "        ref.drop()\n        self._sweep()\n",
        "        ref.drop()\n        self._sweep()\n        for one in self._refs:\n"
        "            one.resize(self.size + self.size // len(self._refs))\n",
    ),
    # ---- calls ----
    Planted(
        "a call ends once",
        "a session that ends leaves calls waiting",
        CALLS_OUT,
        "            if question.state == WAITING:\n"
        "                self.questions.complete(question.x, None)\n",
        "            if question.state == WAITING and question.index:\n"
        "                self.questions.complete(question.x, None)\n",
    ),
)
