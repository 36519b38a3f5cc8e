"""Frames at the edges of what a peer takes, without a ring that would refuse them first."""

from __future__ import annotations

import pytest

from pinfut.rpc.errors import GarbageFrame
from tests.rpc.wire.fakes import Host, Plain, Thing, call, cancel


def host_with_a_thing() -> tuple[Host, int]:
    host = Host()
    return host, host.peer.exports.grant(Plain(), Thing)


@pytest.mark.parametrize("pipeline", [False, True])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_call_whose_length_is_not_its_own_is_refused(pipeline: bool, more: int) -> None:
    host, number = host_with_a_thing()
    frame = call(0, number, b"arguments", pipeline=pipeline)
    wrong = (len(frame) + more).to_bytes(4, "little") + frame[4:]
    with pytest.raises(GarbageFrame, match="wrong length"):
        host.receive(wrong)
    assert host.calls == []
    host.receive(frame)
    assert host.called() == [b"arguments"]


def test_a_call_that_is_cancelled_while_it_waits_leaves_none_of_its_bytes() -> None:
    """They are not paid any more."""
    host, number = host_with_a_thing()
    host.receive(call(0, number, pipeline=True))
    used = host.account.used
    host.receive(call(1, 0, b"x" * 5000, on_answer=True))
    assert host.account.used > used + 5000
    host.receive(cancel(1))
    assert host.account.used == used
    assert [one.payload for one in host.peer.answers] == [b""] * len(host.peer.answers)
