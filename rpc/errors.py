"""Every error that a call can end with, each named for what went wrong.

Errors that the serving side reports travel as a code, a type name and a message; a
traceback never leaves the process in which it happened."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pinfut.closing import name_of

E = TypeVar("E", bound=BaseException)

_BY_CODE: Final[dict[int, type[RpcError]]] = {}
_CODES: Final[dict[type[BaseException], int]] = {}


class RpcError(Exception):
    """Base of all errors here. `code`: the number by which one travels; without it, it is a
    RemoteError for the other side."""

    def __init_subclass__(cls, *, code: int | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if code is not None:
            assert code not in _BY_CODE, f"{cls} and {_BY_CODE[code]} have one code"
            _BY_CODE[code] = cls
            _CODES[cls] = code


# ---- memory ----


class BankError(RpcError):
    """A bank cannot pay. Nothing was changed; refill it or free something, and retry.

    `bank` names the bank that lacks, and `short` is by how much (pages or capabilities), which is
    what `Bank.refill` has to add at least. Of a call: `begun` tells whether its handler had begun,
    so that what it did may stand. A call that was refused before that had no effect."""

    begun: bool = False

    # Raised as it is made: a local that names it would keep it, and it the frame of that local.
    def __init__(self, message: str = "", bank: str | None = None, short: int = 0) -> None:
        super().__init__(message)
        self.bank = bank
        self.short = short


class OutOfPages(BankError, code=8):
    """A bank, or one above it, has no pages left for what was asked."""


class OutOfCaps(BankError, code=9):
    """A bank, or one above it, has no capabilities left for what was asked."""


class OutOfBytes(BankError, code=64):
    """An account has reached its ceiling, whatever its bank still has. `short` is in bytes."""


class BankDead(BankError, code=10):
    """The bank was destroyed, removed or closed."""


class NestedShortage(BankError):
    """Not this call lacks memory, but something that its handler asked for itself. `bank` names the
    payer that lacks: the server's own bank, the one of a `nested` block, or the caller's. `kind` is
    the class that the handler met. Asking again may repeat what the handler did before it met
    it."""

    begun = True
    kind: type[BankError] = BankError


class PayerExhausted(BankError, code=65):
    """A session's donation is large enough, and the bank that should give it has not got it."""


class DonationTooSmall(BankError, code=66):
    """A session's donation is below what a session of these sizes takes before its first call;
    `short` says by how many pages (or, with enough of these, capabilities)."""


class QuotaInUse(BankError, code=67):
    """Only what is unused can leave a funded bank; `short` says how much is in use too many."""


class NotReference(BankError):
    """Quota moves only between a funded bank and the one that funds it."""


class Restricted(RpcError, code=68):
    """This handle of a bank does not allow that; ask the one who gave it for a stronger one."""


class NotABank(RpcError):
    """What was given as a bank is none of this kernel."""


class AlreadyArmed(RpcError):
    """A bank tells one of those who wait for its pages, and somebody waits already."""


class SafetyExceeded(RpcError, code=70):
    """A piece of work touches more than the server has set memory aside for."""


class StillPinned(RpcError):
    """Memory that is in use cannot be freed, sold, cut or moved; end the turn that uses it."""


# ---- what the caller did ----


class UnknownService(RpcError, code=14):
    """Nothing is served under that name."""


class InterfaceMismatch(RpcError, code=11):
    """The service does not speak the interface that was asked for."""


class UnknownMethod(RpcError, code=2):
    """The object has no method of that number."""


class BadArguments(RpcError, code=3):
    """The arguments are not of the types that the method declares."""


class MessageTooLarge(RpcError, code=15):
    """A message is longer than the session or its types carry; it was not sent, or not read."""


class NoEventBuffer(RpcError, code=71):
    """A subscription needs memory of the client's for what comes, and it brought none, or the
    key names no place of it that is open."""


class UnknownObject(RpcError, code=4):
    """A call names an object that the session was not given, or has released."""


class ForeignCapability(RpcError, code=12):
    """A capability of one session was passed over another."""


# ---- what the handler did ----


class RemoteError(RpcError, code=1):
    """The handler raised: `kind` is the type's name, `detail` its message."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class BadAnswer(RpcError, code=5):
    """The handler returned something that is not of the type that it declares."""


class AnswerTooLarge(RpcError, code=6):
    """The answer does not fit into the memory that the caller reserved for it."""


class CallCancelled(RpcError, code=7):
    """The call was ended by the serving side before it had an answer."""


class PromiseLoop(RpcError, code=32):
    """A call was to end with a promise that waits for that very call."""


# ---- the session ----


class SessionClosed(RpcError, code=13):
    """The session has ended; its calls have no answer."""


class SessionDead(SessionClosed, code=69):
    """What was kept for a client is gone: its session or its bank has ended."""


class PeerDied(SessionClosed):
    """The process on the other side died."""


class ProtocolError(SessionClosed):
    """The other side broke the protocol; the session was closed."""


class GarbageFrame(ProtocolError):
    """Bytes from the other side are no frame: cut short, of no known kind, or malformed."""


class UnknownReply(ProtocolError):
    """A reply for an id that is not in progress."""


class SlotInUse(ProtocolError):
    """A call for a slot whose last call is not over."""


_BEGUN: Final = 128  # Added to the code of a BankError that came after the handler had begun
_NESTED: Final = 256  # Added to the code of a BankError that the handler met itself
_DICT: Final[Any] = BaseException.__dict__["__dict__"]
_LONGEST: Final = 18  # Digits of a `short` that is believed


def of_handler(error: BaseException) -> BaseException:
    """What the caller gets for an error that the handler raised: a BankError says that it is
    the handler's."""
    kind = type(error)
    if not issubclass(kind, BankError) or issubclass(kind, NestedShortage):
        return error
    told = NestedShortage(words_of(error))
    told.kind = kind
    # Of a class of the handler's own it need not have them.
    about = _DICT.__get__(error)
    told.bank, told.short = about.get("bank"), about.get("short", 0)
    return told


def after_begin(error: E) -> E:
    """An error of a call whose handler has begun, told so."""
    if issubclass(type(error), BankError):
        _DICT.__get__(error)["begun"] = True
    return error


def words_of(error: BaseException) -> str:
    """What an error says, whatever its class does when it is asked."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        return f"(its message raises {name_of(problem)})"


def to_wire(error: BaseException) -> tuple[int, str, str]:
    """An error as (code, type name, message). What is no RpcError becomes RemoteError. A BankError
    has `short` and the name of its bank in the place of the type's name."""
    try:
        return _to_wire(error)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # out of its class, which may be the handler's own
        return 1, name_of(error), f"(it cannot be told: {name_of(problem)})"


def _to_wire(error: BaseException) -> tuple[int, str, str]:
    kind = name_of(error)
    if isinstance(error, RemoteError):
        return 1, _text(str(error.kind)), _text(str(error.detail))  # passed on as it came
    message = words_of(error)
    if isinstance(error, BankError):
        nested = isinstance(error, NestedShortage)
        code = _CODES.get(error.kind if isinstance(error, NestedShortage) else type(error), 1)
        if code != 1:
            code |= (_BEGUN if error.begun else 0) | (_NESTED if nested else 0)
            return code, _text(f"{error.short} {error.bank or ''}"), _text(message)
    code = _CODES.get(type(error), 1) if isinstance(error, RpcError) else 1
    return code, kind, _text(message)


def _text(text: str) -> str:
    """`text` as it can be written in UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def from_wire(code: int, kind: str, message: str) -> RpcError:
    """The error that (code, type name, message) stands for."""
    error = _BY_CODE.get(code & ~(_BEGUN | _NESTED), RemoteError)
    if issubclass(error, BankError):
        nested = bool(code & _NESTED)
        lack: BankError
        if nested:
            lack = shortage = NestedShortage(message)
            shortage.kind = error
        else:
            lack = error(message)
        short, _, bank = kind.partition(" ")
        if short.isdecimal() and short.isascii() and len(short) <= _LONGEST:
            lack.short = int(short)
            lack.bank = bank or None
        lack.begun = bool(code & _BEGUN) or nested
        return lack
    if error is RemoteError or code & (_BEGUN | _NESTED):
        return RemoteError(kind, message)
    return error(message)
