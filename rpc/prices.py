"""What the serving side's objects cost: bytes for each kind, charged to the client.

Each price is at or above what the kind really takes on the running interpreter, rounded
up, with the place in its table; tests/rpc/bank/test_prices.py measures them."""

from __future__ import annotations

from typing import Final

SESSION: Final = 11264
"""A session: its two ends, their tables' heads, what each sees of the ring, and its first entries
for capabilities."""

CAP_ENTRY: Final = 144
"""A capability in the side table of a session: held, or with a message that was not read."""

SLOT: Final = 1024
"""A slot: the question on one side, the answer on the other, the place where it is written."""

EXPORT: Final = 496
"""An object's entry in an export table and in one bushel, without the object."""

REFERENCE: Final = 224
"""The same object in the bushel of one session more."""

IMPORT: Final = 528
"""An entry for an object that the other side serves, with the proxy that stands for it."""

STAND_IN: Final = 1152
"""What stands among a handler's arguments for an object that an earlier call gave or will give."""

GUEST: Final = 1024
"""A session that a client introduced its server to: what that side keeps to find it again."""

QUEUED: Final = 160
"""A call that waits at the server for the answer that it is pipelined on. The bytes of its
arguments, and of the interface that it expects of that answer, come on top."""

UNWRITTEN: Final = 224
"""A message that waits for room in the ring: of the client, or of the server to it. Its bytes come
on top."""

UNSENT: Final = 1424
"""A call of the client that waits for a slot, with the place for its answer, on top of its
message."""

QUEUED_CAP: Final = 192
"""Each capability among the arguments of such a call."""

HANDLER: Final = 2048
"""The default bound for a handler's coroutine and task, until it first waits; `method(frame=...)`
declares another."""

TASK: Final = 480
"""The task of a handler that waits, and its context, without the coroutine."""

OBJECT: Final = 512
"""The default bound for an object that a handler makes and hands out."""

PASSED: Final = 1024
"""A promise or proxy that is handed out, to pass calls on: itself, and what tells the other side
what it turns out to be."""

BANK: Final = 912
"""A bank below another one's client: its counts, its ledger, its name and its place there."""

HANDLE: Final = 176
"""A handle of a bank, and its place in the table of its kernel."""

NESTED: Final = 272
"""A bank for a nested call: what the session keeps to see its end, beside `BANK` and `HANDLE`."""

RESERVATION: Final = 192
"""Pages that are kept for one request."""

ARMED: Final = 288
"""A wait for pages, and its place where they will come back."""

TRANSFER: Final = 80
"""A transfer of quota that waits in a queue."""

SUBSCRIPTION: Final = 640
"""A subscription to a source of events: what the serving side keeps beside the record in the
client's buffer, its places in tables included, without what `KEPT` pays for."""

KEPT: Final = 208
"""What a service keeps for a client, without the thing itself: its ref and its place."""

GRANTED: Final = 24
"""Each capability but the first in an answer: its places in what is kept until Finish."""

MAPPING: Final = 144
"""A region in an address space: one entry, however many pages."""

HOLD: Final = 384
"""A hold on the pages of a region, without the pages: itself and the table of the region."""
