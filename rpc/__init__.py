"""Services over a kernel that charges: interfaces, sessions, banks (`pinfut.rpc`)."""

from pinfut.rpc.bank.bank import PAGE, Balance, Bank
from pinfut.rpc.bank.freed import freed
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.bank.transfers import Transfers, transfer
from pinfut.rpc.errors import (
    AlreadyArmed,
    AnswerTooLarge,
    BadAnswer,
    BadArguments,
    BankDead,
    BankError,
    CallCancelled,
    DonationTooSmall,
    ForeignCapability,
    GarbageFrame,
    InterfaceMismatch,
    MessageTooLarge,
    NestedShortage,
    NoEventBuffer,
    NotABank,
    NotReference,
    OutOfBytes,
    OutOfCaps,
    OutOfPages,
    PayerExhausted,
    PeerDied,
    PromiseLoop,
    ProtocolError,
    QuotaInUse,
    RemoteError,
    Restricted,
    RpcError,
    SafetyExceeded,
    SessionClosed,
    SessionDead,
    SlotInUse,
    StillPinned,
    UnknownMethod,
    UnknownObject,
    UnknownReply,
    UnknownService,
)
from pinfut.rpc.kernel.sim.cost import CostModel
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.memory.event_buffer import EventBuffer, SourceEvent
from pinfut.rpc.objects.demands import Own, Same
from pinfut.rpc.objects.interface import Interface, method
from pinfut.rpc.objects.promise import Promise
from pinfut.rpc.objects.status import status
from pinfut.rpc.refill import retry_with_refill
from pinfut.rpc.session.charging import PinScope, charge, keep
from pinfut.rpc.session.gone import on_gone
from pinfut.rpc.session.introduce import introduce
from pinfut.rpc.session.kept import ClientRef
from pinfut.rpc.session.purse import leaks
from pinfut.rpc.session.serving import current_session, nested, session_of
from pinfut.rpc.session.session import Session
from pinfut.rpc.session.shared import SharedState
from pinfut.rpc.session.subscriptions import EventSource, Subscription, subscribe
from pinfut.rpc.vat import Vat, connect, serve, session_pages

__all__ = [
    "PAGE", "AlreadyArmed", "AnswerTooLarge", "BadAnswer", "BadArguments", "Balance", "Bank",
    "BankDead", "BankError", "BankHandle", "CallCancelled", "ClientRef", "CostModel",
    "DonationTooSmall", "EventBuffer", "EventSource", "ForeignCapability", "GarbageFrame",
    "Interface", "InterfaceMismatch", "MessageTooLarge", "NestedShortage", "NoEventBuffer",
    "NotABank", "NotReference", "OutOfBytes", "OutOfCaps", "OutOfPages", "Own", "PayerExhausted",
    "PeerDied", "PinScope", "Promise", "PromiseLoop", "ProtocolError", "QuotaInUse", "Rank",
    "RemoteError", "Reservation", "Restricted", "RpcError", "SafetyExceeded", "Same", "Session",
    "SessionClosed", "SessionDead", "SharedState", "SimKernel", "SlotInUse", "SourceEvent",
    "StillPinned", "Subscription", "Transfers", "UnknownMethod", "UnknownObject", "UnknownReply",
    "UnknownService", "Vat", "charge", "connect", "current_session", "destroy", "freed",
    "introduce", "keep", "leaks", "method", "nested", "on_gone", "retry_with_refill", "serve",
    "session_of", "session_pages", "status", "subscribe", "transfer",
]  # fmt: skip
