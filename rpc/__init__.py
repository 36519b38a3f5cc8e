"""Services over a kernel that charges: interfaces, sessions, banks (`pinfut.rpc`)."""

from pinfut.rpc.charging import ClientRef, Turn, charge, keep
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
    Pinned,
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
    UnknownMethod,
    UnknownObject,
    UnknownReply,
    UnknownService,
)
from pinfut.rpc.events import Source, Subscription, subscribe
from pinfut.rpc.interface import Interface, method
from pinfut.rpc.introduce import introduce
from pinfut.rpc.kernel.bank import PAGE, Balance, Bank
from pinfut.rpc.kernel.cost import CostModel
from pinfut.rpc.kernel.destroy import destroy
from pinfut.rpc.kernel.events import Event, EventBuffer
from pinfut.rpc.kernel.freed import freed
from pinfut.rpc.kernel.handle import Handle, Rank
from pinfut.rpc.kernel.reservation import Reservation
from pinfut.rpc.kernel.sim import SimKernel
from pinfut.rpc.kernel.transfers import Transfers, transfer
from pinfut.rpc.promise import Promise
from pinfut.rpc.refill import retry_with_refill
from pinfut.rpc.serving import current_session, nested
from pinfut.rpc.session import Session
from pinfut.rpc.shared import Shared
from pinfut.rpc.vat import Vat, connect, serve, session_of, session_pages

__all__ = [
    "PAGE",
    "AlreadyArmed",
    "AnswerTooLarge",
    "BadAnswer",
    "BadArguments",
    "Balance",
    "Bank",
    "BankDead",
    "BankError",
    "CallCancelled",
    "ClientRef",
    "CostModel",
    "DonationTooSmall",
    "Event",
    "EventBuffer",
    "ForeignCapability",
    "GarbageFrame",
    "Handle",
    "Interface",
    "InterfaceMismatch",
    "MessageTooLarge",
    "NestedShortage",
    "NoEventBuffer",
    "NotABank",
    "NotReference",
    "OutOfBytes",
    "OutOfCaps",
    "OutOfPages",
    "PayerExhausted",
    "PeerDied",
    "Pinned",
    "Promise",
    "PromiseLoop",
    "ProtocolError",
    "QuotaInUse",
    "Rank",
    "RemoteError",
    "Reservation",
    "Restricted",
    "RpcError",
    "SafetyExceeded",
    "Session",
    "SessionClosed",
    "SessionDead",
    "Shared",
    "SimKernel",
    "SlotInUse",
    "Source",
    "Subscription",
    "Transfers",
    "Turn",
    "UnknownMethod",
    "UnknownObject",
    "UnknownReply",
    "UnknownService",
    "Vat",
    "charge",
    "connect",
    "current_session",
    "destroy",
    "freed",
    "introduce",
    "keep",
    "method",
    "nested",
    "retry_with_refill",
    "serve",
    "session_of",
    "session_pages",
    "subscribe",
    "transfer",
]
