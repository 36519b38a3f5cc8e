"""Errors over the wire: every class comes back as itself, and no traceback travels."""

from __future__ import annotations

import inspect
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc import errors
from pinfut.rpc.errors import (
    BankError,
    NestedShortage,
    OutOfPages,
    RemoteError,
    RpcError,
    from_wire,
    of_handler,
    to_wire,
)

ALL = sorted(
    (
        one
        for one in vars(errors).values()
        if inspect.isclass(one) and issubclass(one, RpcError) and one is not RemoteError
    ),
    key=lambda one: one.__name__,
)
# What the serving side can report. The others arise on the caller's side, or end a session.
REPORTED = {
    "UnknownMethod",
    "BadArguments",
    "UnknownObject",
    "BadAnswer",
    "AnswerTooLarge",
    "CallCancelled",
    "OutOfPages",
    "OutOfCaps",
    "BankDead",
    "InterfaceMismatch",
    "ForeignCapability",
    "SessionClosed",
    "UnknownService",
    "MessageTooLarge",
    "OutOfBytes",
    "PayerExhausted",
    "DonationTooSmall",
    "QuotaInUse",
    "Restricted",
    "SessionDead",
    "SafetyExceeded",
    "PromiseLoop",
    "NoEventBuffer",
}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_itself_or_names_what_it_was(kind: type[RpcError]) -> None:
    code, name, message = to_wire(kind("so it is"))
    back = from_wire(code, name, message)
    if kind is NestedShortage:
        return  # it is always of another class: see below
    if kind.__name__ in REPORTED:
        assert type(back) is kind
        assert str(back) == "so it is"
    else:
        assert isinstance(back, RemoteError)
        assert (back.kind, back.detail) == (kind.__name__, "so it is")


def test_codes_are_unique_and_the_list_of_reported_errors_is_complete() -> None:
    codes = {kind.__name__: to_wire(kind("x"))[0] for kind in ALL}
    reported = {name for name, code in codes.items() if code != 1}
    assert reported == REPORTED
    assert len({codes[name] for name in reported}) == len(reported)


def test_an_error_of_a_service_further_on_is_passed_on_as_it_came() -> None:
    first = from_wire(*to_wire(KeyError("k")))
    second = from_wire(*to_wire(first))
    assert isinstance(second, RemoteError)
    assert (second.kind, second.detail) == ("KeyError", "'k'")


class Local(OverflowError):
    class Inner(Exception):
        pass


@pytest.mark.parametrize("error", [Local("a"), Local.Inner("a"), SystemExit("a"), KeyError()])
def test_a_foreign_exception_becomes_its_name_and_message(error: BaseException) -> None:
    code, kind, message = to_wire(error)
    assert (code, kind, message) == (1, type(error).__qualname__, str(error))


KNOWN = {to_wire(kind("x"))[0] for kind in ALL} - {1}
SHORTAGES: list[type[BankError]] = [
    kind for kind in ALL if issubclass(kind, BankError) and kind.__name__ in REPORTED
]


@given(
    kind=st.sampled_from(SHORTAGES),
    bank=st.one_of(st.none(), st.text(min_size=1)),
    short=st.integers(0, 10**18 - 1),
    begun=st.booleans(),
)
def test_a_shortage_says_whose_it_is_how_much_lacks_and_when_it_came(
    kind: type[BankError], bank: str | None, short: int, begun: bool
) -> None:
    error = kind("so it is")
    error.bank, error.short, error.begun = bank, short, begun
    back = from_wire(*to_wire(error))
    assert type(back) is kind
    written = None if bank is None else bank.encode("utf-8", "backslashreplace").decode()
    assert (back.bank, back.short, back.begun) == (written, short, begun)
    # Met by a handler, and passed on by others, it stays what it was and names its payer.
    for _ in range(3):
        error = from_wire(*to_wire(of_handler(error)))  # type: ignore[assignment]
        assert isinstance(error, NestedShortage)
        assert not isinstance(error, kind)
        assert (error.kind, error.bank, error.short) == (kind, written, short)
        assert error.begun
        assert str(error) == "so it is"


@pytest.mark.parametrize("lack", ["", "x", "-1 b", "1_0 b", "\u0661 b", f"{10**30} b", "1.5 b"])
def test_what_a_peer_invents_as_a_shortage_is_not_believed(lack: str) -> None:
    back = from_wire(8, lack, "m")
    assert isinstance(back, OutOfPages)
    assert (back.bank, back.short) == (None, 0)


@given(
    code=st.one_of(st.integers(-(1 << 63), 1 << 63), st.integers(0, 511)),
    kind=st.text(),
    message=st.text(),
)
def test_unknown_codes_are_remote_errors_and_none_raises(
    code: int, kind: str, message: str
) -> None:
    back = from_wire(code, kind, message)
    assert isinstance(back, RpcError)
    if isinstance(back, RemoteError):
        assert (back.kind, back.detail) == (kind, message)
    else:
        assert code & 127 in KNOWN
        assert str(back) == message
        assert isinstance(back, BankError) or code < 128


def test_no_traceback_travels() -> None:
    def deep(secret: str) -> None:
        raise ValueError("the message")

    try:
        try:
            deep("a secret local")
        except ValueError as inner:
            inner.add_note("a secret note")
            raise LookupError("outer") from inner
    except LookupError as error:
        text = "".join(traceback.format_exception(error))
        assert "secret" in text
        assert __file__ in text
        wire = repr(to_wire(error))
    for secret in ("secret", "deep", __file__, "the message", "Traceback", "line "):
        assert secret not in wire


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("\udcff lone \ud800"),
        RemoteError("\udcff", "\udcff"),
        errors.BadArguments("\udcff"),
        Unspeakable(),
    ],
    ids=["foreign", "passed on", "own", "no message"],
)
def test_an_error_whose_text_cannot_be_written_can_be_sent_all_the_same(
    error: BaseException,
) -> None:
    back = from_wire(*msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(error))))
    assert isinstance(back, RpcError)
