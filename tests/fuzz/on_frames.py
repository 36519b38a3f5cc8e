"""Frames, as the four tables take them: calls, controls, capability ids."""

from __future__ import annotations

import struct
from collections import Counter

from pinfut.rpc import RpcError
from pinfut.rpc.errors import ProtocolError
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.answers import FREE
from tests.fuzz.harness import NAMED, fitting, parted, pieces
from tests.rpc.wire.fakes import Host, Plain, host_in_the_midst

RECEIVE, GIVE, HAND_OUT, REFUSE, FRESH = range(5)


def fuzz_frames(data: bytes, counts: Counter[str]) -> None:
    """Calls, controls and capability ids, between handlers that end in several ways."""
    # One that has seen nothing yet, if the input begins by saying so.
    fresh = data[:1] == bytes([FRESH])
    host = Host(slots=8, pages=100) if fresh else host_in_the_midst()
    for operation, argument, frame in pieces(data):
        try:
            if operation % 5 == RECEIVE:
                host.receive(parted(_named(host, argument, fitting(argument, frame))))
                counts["handled"] += 1
            elif operation % 5 != FRESH:
                _end(host, operation % 5, argument)
                counts["ended"] += 1
        except ProtocolError:
            counts["refused"] += 1
            break
        peer = host.peer
        assert len(peer.answers) in (0, 8), "a table grew"
        queued = sum(one.charged for one in host.all_waiting())
        least = queued + peer.exports.charged + peer.imports.charged
        assert host.held[0] >= least, "less is charged than is held"
        assert len({one.x for one in peer.open_answers()}) == len(peer.open_answers())
    host.peer.close()
    assert host.held == (0, 0), "a charge stayed"
    host.account.close()
    assert (host.bank.pages_used, host.bank.caps_used) == (0, 0)


def _named(host: Host, argument: int, frame: bytearray) -> bytes:
    """The frame; if so wanted about a slot that is free, an answer or an export that is there."""
    answers = host.peer.answers
    if not argument & NAMED or len(frame) < 16 or not answers:
        return bytes(frame)
    free = [one for one in answers if one.state == FREE]
    held = [one.x for one in answers if one.state != FREE]
    exports = list(host.peer.exports.things)
    which = frame[8]
    if frame[4] in (frames.FINISH, frames.CANCEL):
        named = held
    elif frame[4] == frames.RELEASE:
        named = exports
    else:
        named = [one.x + 8 if one.x >= 0 else n for n, one in enumerate(answers) if one in free]
        targets = held if frame[5] & frames.ON_ANSWER else exports
        if targets and len(frame) >= 24:
            struct.pack_into("<Q", frame, 16, targets[frame[16] % len(targets)])
    if named:
        struct.pack_into("<Q", frame, 8, named[which % len(named)])
    return bytes(frame)


def _end(host: Host, how: int, which: int) -> None:
    running = host.all_running()
    if not running:
        return
    answer = running[-1 - which % len(running)]  # 0 is the newest
    if how == GIVE:
        host.peer.give(answer, bytes(which))
    elif how == REFUSE:
        host.peer.refuse(answer, KeyError("k" * which))
    else:
        try:
            host.hand_out(answer, Plain())
        except ProtocolError:
            raise
        except RpcError as error:  # it cannot be paid
            host.peer.refuse(answer, error)
