"""What a conversation may assume of the kernel under it, and a kernel has to give.

Sessions, vats and what stands on them know these protocols; none of them knows a kernel. The
docstrings are the specification, and `tests/rpc/contract/` holds every kernel to them. Nothing
here runs: kernels do not inherit from a protocol.

Two sides of a session are two processes. What crosses between them is bytes, and numbers that
the kernel hands out; no object of one side is ever an object of the other. What a process holds
of a kernel (a `Process`, a `Port`, an `Endpoint` with its two directions and its account) is its
own: no other process has it, and only the kernel writes what is marked here as the kernel's.

Sizes are in bytes unless they are called pages."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from pinfut.future import FutureBase
from pinfut.rpc.errors import RpcError


class Balance(NamedTuple):
    """Pages and capabilities: what a bank can still pay, or what a session is given."""

    pages: int
    caps: int


class Cap(NamedTuple):
    """A capability that goes from one side of a session to the other. `id`: of SENDER and RECEIVER
    the number under which the side that has the object handed it over; of RECEIVER_ANSWER that of
    a question. `interface`: what it is granted as."""

    kind: int
    id: int
    interface: int


SENDER: Final = 1
"""A capability that the sender of the message exports."""
RECEIVER: Final = 2
"""A capability that the receiver of the message exports: it unwraps to its own object."""
RECEIVER_ANSWER: Final = 3
"""The result of a question that the sender has asked and the receiver answers."""

MAX_CAPS: Final = 1024
"""How many capabilities one message may carry."""

CALLS: Final = -1
"""In place of the place of an answer: what goes with a call."""


Memory: TypeAlias = Literal["arenas", "prices"]
"""How what a server holds for a client is counted: by where it lies, or by declared prices."""


# ---- who pays ----


class BankLike(Protocol):
    """What a client pays with: a bank, or a handle of one. Only a kernel tells it from a fake."""

    @property
    def balance(self) -> Balance:
        """What it can still pay."""

    def buy(self, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        """Debit it. Raises OutOfPages, OutOfCaps, BankDead."""

    def sell(self, pages: int = 0, caps: int = 0) -> None:
        """Refund it."""


class Ticket(Protocol):
    """Pages that are kept for one request."""

    def drop(self) -> None:
        """Give back what is still kept. Idempotent."""


class Account(Protocol):
    """What one side of a session has charged to the bank that pays for the session. One writer: the
    side that holds the account. It counts bytes inside pages that the kernel has bought for it, so
    most charges need no kernel; it is no right to anything else of the bank."""

    free: int
    """Bytes that are bought and not charged. The holder may take from it without `take` what is
    there, and may put that back without `give` as long as nothing else was charged meanwhile."""

    @property
    def payer(self) -> str:
        """What the bank is called that pays, from the beginning of the session to its end."""

    @property
    def pages(self) -> int:
        """Pages that are bought."""

    @property
    def used(self) -> int:
        """Bytes that are charged now."""

    def take(self, count: int, why: str = "memory", /) -> None:
        """Charge `count` bytes. Raises OutOfPages and BankDead; nothing has changed then."""

    def give(self, count: int, /) -> None:
        """Refund `count` bytes that were taken."""

    def take_cap(self, why: str = "a capability", /) -> None:
        """Charge one capability. Raises OutOfCaps; nothing has changed then."""

    def give_cap(self) -> None:
        """Refund one capability."""

    def pass_on(self, to: Account, count: int, caps: int, /) -> None:
        """The last of a session that this side is about to let go of: have `to`, of the same
        process and bank, charged for so much that is charged here. Nothing is bought: it takes over
        the pages in which that lies. Raises ValueError for another bank."""


# ---- one direction of a session: calls one way, their answers back ----


class Submissions(Protocol):
    """The caller's end of one direction. A *place* is where an answer will be: an integer that the
    caller reserves, sends with its call, and releases when it has taken the answer. What is
    submitted is seen by the other side after `Endpoint.publish`, in the order of submission, and
    not before."""

    slots: int
    """How many calls may be open now: of ids whose slot, x mod `Endpoint.slots`, is below it."""
    capacity: int
    """Bytes for messages on their way now."""
    tail: int
    """Bytes that were submitted in all, as they lie there."""
    largest: int
    """Bytes of the longest frame that can always be sent now."""
    small: int
    places: deque[int]
    """Places for answers of up to `small` bytes that are at hand. The holder may take the first in
    the place of `reserve`."""

    @property
    def unpublished(self) -> int:
        """Bytes submitted since the last `Endpoint.publish`."""

    behind: int
    """How often `resize` was called of which the other side has not said yet that it knows."""

    @property
    def spare(self) -> bool:
        """Whether there are more places than slots would fill, which `resize` gives back where
        they are free."""

    def resize(self, slots: int, ring: int, /) -> None:
        """Have so many slots and bytes for what is submitted from now on; no call is open in a
        slot that is given up. What grows is paid before; what is given up goes back to the bank
        when the other side has read what was submitted before, and this side its answers. Raises
        OutOfPages, and ValueError for more than the session's most; nothing has changed then."""

    def reserve(self, room: int, /) -> int:
        """A place for an answer of up to `room` bytes. Raises OutOfPages, and nothing is bought."""

    def submit(self, frame: bytes, /) -> bool:
        """Put a frame down behind the others. False when there is no room at present; then the
        kernel wakes this side when there is more. Raises ProtocolError when what the other side
        says of its reading makes no sense."""

    def submit_all(self, frames: Iterable[bytes], /) -> int:
        """Submit a batch, in order: how many were taken. It stops at the first for which there is
        no room, whatever would fit of those behind it, which are not looked at. Raises as `submit`
        does; those before are submitted then."""

    def completed(self) -> list[int]:
        """The ids of calls whose answers have come since the last time, oldest first, at most as
        many as there are slots. Raises ProtocolError."""

    def read(self, place: int, /) -> bytes:
        """A copy of the answer at `place`, made once. Raises ProtocolError for what is none."""

    def take_plain(self, place: int, x: int, word: int, /) -> bytes | None:
        """What follows the head of the answer at `place`, copied once, if that head is of call
        `x` and says `word`; then the place may be used again. None for any other answer, which
        is there for `read`. A head is 16 bytes: the length of the answer in 32 bits, a word of
        the protocol's in 32, and the id of the call in 64, little-endian."""

    def peek(self, place: int, x: int, /) -> int | None:
        """The word in the head of the answer to call `x` at `place`, as it lies there now; None
        for no answer to that call. Advice: the other side writes it before it says so, and may
        write anything. Needs no kernel and changes nothing."""

    def release(self, place: int, /) -> None:
        """The place is not needed any more."""

    def trim(self) -> None:
        """Give memory for answers that is between two uses back to the bank; a kernel that keeps
        none has nothing to do."""


class Requests(Protocol):
    """The callee's end of one direction."""

    more: bool
    """Whether `receive` has left something that was there when it looked."""
    consumed: int
    """Bytes of messages that were received in all."""
    slots: int
    """How many slots the calls of the last frames received may use."""
    most: Callable[[bytes], int] | None
    """The holder's: how long a frame may be that begins so. Asked with its first 64 bytes (or all)
    before more of it is copied, at the latest when it is longer than what `receive` may take."""

    def watch(self, resized: Callable[[int], None], /) -> None:
        """Have this called within `receive`, with how many slots the frames from now on may use.
        What it raises leaves `receive`. Before the first `receive`."""

    def receive(self, limit: int, credit: int, /) -> list[bytes]:
        """Copies of the next frames, at most `limit`, and none that begins after the first
        `credit` bytes. Raises ProtocolError for what no honest writer does, and for a frame that
        is longer than `most` says."""

    def put_back(self, frames: Sequence[bytes], /) -> None:
        """Have the last frames of the last `receive` read again by the next."""

    def complete(self, place: int, x: int, frame: bytes, /) -> None:
        """Write the answer to call `x` where its caller wants it; seen after `Endpoint.publish`.
        Needs no memory. Raises ProtocolError for a place that is none or too small."""


# ---- events ----


class EventMemory(Protocol):
    """The records of a client's event buffer, as its server reaches them (`pinfut.rpc.records`).
    What the server writes reaches the client with `Endpoint.post_event` at the latest, and what the
    client has written is there for the server when it calls that or `Endpoint.events`."""

    shape: Any
    memory: memoryview


class EventSink(Protocol):
    """A client's event buffer, as its own session knows it."""

    def end(self, error: BaseException, /) -> None:
        """Nothing comes any more."""


# ---- a session ----


class Route(NamedTuple):
    """A way between two servers, as the client that pays for it knows it: its number, and the
    handles of its ends in the processes of the one that calls and the one that serves."""

    number: int
    near: int
    far: int


class Endpoint(Protocol):
    """One side of a session, as its process holds it. Hashed by identity."""

    name: str
    """The same on both sides."""
    serving: bool
    """Whether this is the side that was connected to."""
    slots: int
    """How many calls each side may have open at most; the slot of a call is its id modulo this."""
    ring: int
    """Bytes for messages on their way in each direction, at most."""
    largest: int
    """Bytes of the longest frame that may be sent at all."""
    handle: int
    """What this process calls it; the lowest 32 bits are its badge."""
    level: int
    """How urgent it is, 0 before 2."""
    client: object
    """On the serving side who the client is: equal for sessions of one process of it that one bank
    pays as they go, while they last, and for no others. Where a kernel cannot tell processes
    apart, no two are equal. Hashable."""
    message: int
    """Bytes of the longest message that the service takes."""
    via: Endpoint | None
    """The endpoint of the same process over which a client introduced it to this one."""
    account: Account
    """What this side charges; on both sides the bank of the client pays."""
    released: bool
    """Whether this side has let go."""

    @property
    def called(self) -> bool:
        """Whether the other side has room for calls, so that there are `requests`."""

    @property
    def process(self) -> Process:
        """Whose endpoint it is."""

    @property
    def ending(self) -> RpcError | None:
        """Why this side has to close and let go; None while nobody asks it to. The kernel's."""

    def submissions(self) -> Submissions:
        """For this side's calls; bought by the first call of this. Raises OutOfPages."""

    def requests(self) -> Requests | None:
        """The other side's calls; None until it has made room for any."""

    def publish(self) -> bool:
        """Make everything visible that was submitted and completed, and what was read; then, if
        the other side has to look for it, signal it once: a signal never comes before what it
        announces. Whether anything was made visible for which the other side may look. Raises
        ProtocolError, and SessionClosed once released."""

    def close(self) -> None:
        """Let go of the session, and tell the other side so. What both have let go of is given
        back to the bank. Idempotent."""

    def wait_freed(self) -> Awaitable[None]:
        """Wait until everything has been given back to the bank that paid, and what others have
        below it on behalf of this session too."""

    # -- capabilities, which lie in memory of the kernel's --

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None:
        """Put down what goes with the next call that has capabilities and is submitted, or with the
        answer at `place`. From then on the other side holds what is of kind SENDER. Raises
        UnknownObject for what this side may not name: of kind RECEIVER what it does not hold, and
        promises in an answer; MessageTooLarge for too many; OutOfPages. Then nothing was put down.
        On any later error of the message the session ends."""

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]:
        """What came with the oldest call that has capabilities, or with the answer at `place`,
        which says that there are so many; once. Raises GarbageFrame when there are not."""

    def take_back(self, number: int, /) -> None:
        """The other side holds nothing any more under the number under which this side handed it
        over. Idempotent."""

    # -- memory on the client's behalf --

    def room(self) -> int:
        """How many pages the bank that pays could pay for now. Raises SessionClosed."""

    def credit(self) -> memoryview:
        """On the client's side: words that say what the bank that pays has left
        (`pinfut.rpc.credit`). The kernel alone writes them, whenever that changes. The first
        session of a bank that asks buys their page, and the last gives it back with its end.
        Raises ValueError on the other side, OutOfPages, BankDead and SessionClosed."""

    def nested(self, pages: int, caps: int, /) -> BankLike:
        """A bank below the one that pays, with these limits, for calls of the serving side on
        behalf of its client. Raises OutOfPages."""

    def end_nested(self, payer: BankLike, /) -> Awaitable[None]:
        """Destroy such a bank; ready when nothing of it is left."""

    def keep_ticket(self, x: int, ticket: Ticket, /) -> None:
        """What this side has kept for its question `x`; goes with the session."""

    def drop_ticket(self, x: int, /) -> None:
        """Question `x` is over. Idempotent."""

    def redeem(self, x: int, /) -> bool:
        """The other side's question `x` is short of memory: what was kept for it is there now.
        Who calls this charges at once. Whether there was anything."""

    def refund(self, pages: int, why: str, /) -> int:
        """Have the client's bank pay for pages from now on; the number of the refund. Raises
        OutOfPages when the client allows or has less, and SessionClosed."""

    def end_refund(self, number: int, /) -> None:
        """These pages are not needed any more. Idempotent; the end of the session does it."""

    def refunds(self, number: int, /) -> bool:
        """Whether the client pays for this one still."""

    # -- events --

    def events(self) -> EventMemory | None:
        """On the serving side: where its client wants events; None when it brought nothing."""

    def post_event(self, place: int, /) -> None:
        """Tell the client that a record has changed. Idempotent until it looks."""

    # -- memory that flows to the client --

    def move(self, packets: Sequence[Any], sizes: Sequence[int], /) -> list[Any]:
        """On the serving side: packets, which lie in regions of this side's, for the pool of the
        client's session (`pinfut.rpc.memory.receive`). All that are taken change owner at once,
        and this side has neither bank; what it has now in place of the first of them, one for
        each that was taken. Raises ValueError where the client takes none, and as
        `ReceivePool.give`; then nothing has changed."""

    # -- introductions --

    def introduce(self, to: Endpoint, pages: int, slots: int, ring: int, /) -> Route:
        """On the client's side: a session between the servers that `to` and this lead to, the
        first of which calls. The bank of this session pays at most so many pages. Raises
        SessionClosed, OutOfPages, OutOfCaps, ValueError; then nothing was bought."""

    def withdraw(self, route: Route, /) -> None:
        """Have both sides of a route let go of it. Idempotent."""

    def route_open(self, route: Route, /) -> bool:
        """Whether neither side has ended it."""

    def guest(self, handle: int, /) -> Endpoint:
        """The endpoint of this process that came over this one under `handle`. Raises
        UnknownObject for any other handle, and for one that is over."""


# ---- processes and the kernel ----


class Port(Protocol):
    """A name that others connect to, as the process that serves it holds it."""

    name: str

    def accept(self) -> list[Endpoint]:
        """The endpoints of who has connected since the last time. The port is signalled for
        them; what they have sent may be signalled before or after that."""


class Process(Protocol):
    """A protection domain: what it may name, and what tells it which of that is ready."""

    name: str
    alive: bool
    """The kernel's."""

    @property
    def ready(self) -> bool:
        """Whether `take` would give anything."""

    def take(self) -> list[int]:
        """The badges that were signalled since the last time, lowest first, each once however
        often it was signalled. They are cleared before anybody acts on them."""

    def wait(self) -> FutureBase[list[int]]:
        """As `take`, as soon as there is something. One waits at a time."""

    def nudge(self, badge: int, /) -> None:
        """Signal a badge of its own."""

    def at(self, badge: int, /) -> Endpoint | Port | None:
        """What a badge stands for; None when it is over."""


# What a server's own side can bear unless it says otherwise (`ServiceSpec`).
MESSAGE: Final = 1 << 20
SESSIONS: Final = 1 << 16
SLOTS: Final = 1 << 15
GRACE: Final = 30.0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """How a service is offered. `safety`: pages of one session that the server has memory to keep
    locked, None for any number; `level`: the most urgent that a session is, 0 before 2.

    What the server's own side can bear, whatever its clients pay: `message`, bytes of the longest
    message; `sessions`, how many are open at once; `slots` of one of these. `grace`: seconds that
    a handler has after it was asked to stop. `backlog`: how many sessions may wait to be accepted,
    in memory that `payer` buys with `listen`; None for as many as pay for themselves."""

    safety: int | None = None
    level: int = 0
    message: int = MESSAGE
    sessions: int = SESSIONS
    slots: int = SLOTS
    grace: float = GRACE
    backlog: int | None = None
    payer: Any = None


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """The sizes of a session. `slots`: calls that may be open at once on each side, at most.
    `ring`: bytes for messages on their way, at most, a power of two. `cell`: bytes of a small
    answer's memory, a divisor of 4,096. `quota`: what the session is given at once, in a bank of
    its own; None to draw on the payer as it goes. `level`: how urgent it is, 0 before 2.
    `refund`: pages that the client takes over from the server at most. `events`: its event
    buffer; `receive`: its pool for packets. `message`: bytes of the longest message, which the
    kernel sets to what the service takes. `least`: slots and bytes of the ring that each direction
    has from its beginning to its end; the rest is bought when it is needed."""

    slots: int = 64
    ring: int = 16_384
    cell: int = 1024
    quota: Balance | None = None
    level: int = 1
    refund: int = 0
    events: Any = None
    message: int = MESSAGE
    receive: Any = None
    least: tuple[int, int] = (16, 2048)

    @property
    def largest(self) -> int:
        """Bytes of the longest message that can always be sent and is taken."""
        return min(self.ring // 2, self.message)

    @property
    def first(self) -> tuple[int, int]:
        """The slots and the ring that each direction begins with."""
        return min(self.slots, self.least[0]), min(self.ring, self.least[1])


class Kernel(Protocol):
    """What makes processes and sessions, and charges for them."""

    memory: Memory

    def process(self, name: str, /) -> Process:
        """A new process."""

    def name_of(self, payer: object, /) -> str:
        """What the bank is called that `payer` is or stands for. Raises NotABank."""

    def listen(self, process: Process, name: str, spec: ServiceSpec, /) -> Port:
        """Offer a service. Raises ValueError when the name is taken; and for a backlog NotABank,
        OutOfPages and BankDead."""

    def unlisten(self, port: Port, /) -> None:
        """Take a service back; who waits to be accepted is told."""

    def connect(self, process: Process, name: str, payer: object, spec: SessionSpec, /) -> Endpoint:
        """A session with a service, paid by `payer`; this side's endpoint, at once: calls may be
        submitted before the other side has accepted.

        Raises UnknownService, NotABank, SafetyExceeded, DonationTooSmall, PayerExhausted,
        OutOfPages, OutOfCaps, and ValueError for sizes that make no sense. On any error nothing
        was bought."""

    def kill(self, process: Process, /) -> None:
        """The process dies where it stands: its endpoints are let go of, its peers are told."""
