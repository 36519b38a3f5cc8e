"""Services over a kernel that charges: interfaces, sessions, banks (`pinfut.rpc`)."""

from pinfut.rpc.errors import (
    AnswerTooLarge,
    BadAnswer,
    BadArguments,
    BankDead,
    BankError,
    CallCancelled,
    ForeignCapability,
    GarbageFrame,
    InterfaceMismatch,
    MessageTooLarge,
    OutOfCaps,
    OutOfPages,
    PeerDied,
    PromiseLoop,
    ProtocolError,
    RemoteError,
    RpcError,
    SessionClosed,
    SlotInUse,
    UnknownMethod,
    UnknownObject,
    UnknownReply,
    UnknownService,
)
from pinfut.rpc.interface import Interface, method
from pinfut.rpc.introduce import introduce
from pinfut.rpc.kernel.bank import PAGE, Balance, Bank
from pinfut.rpc.kernel.cost import CostModel
from pinfut.rpc.kernel.sim import SimKernel
from pinfut.rpc.promise import Promise
from pinfut.rpc.session import Session
from pinfut.rpc.vat import Vat, connect, serve, session_of, session_pages

__all__ = [
    "PAGE",
    "AnswerTooLarge",
    "BadAnswer",
    "BadArguments",
    "Balance",
    "Bank",
    "BankDead",
    "BankError",
    "CallCancelled",
    "CostModel",
    "ForeignCapability",
    "GarbageFrame",
    "Interface",
    "InterfaceMismatch",
    "MessageTooLarge",
    "OutOfCaps",
    "OutOfPages",
    "PeerDied",
    "Promise",
    "PromiseLoop",
    "ProtocolError",
    "RemoteError",
    "RpcError",
    "Session",
    "SessionClosed",
    "SimKernel",
    "SlotInUse",
    "UnknownMethod",
    "UnknownObject",
    "UnknownReply",
    "UnknownService",
    "Vat",
    "connect",
    "introduce",
    "method",
    "serve",
    "session_of",
    "session_pages",
]
