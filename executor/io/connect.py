"""connect_tcp: a connection by name, to whichever of its addresses answers first (RFC 8305).

Addresses are tried in the system's order, the families in turns, each `STAGGER` seconds after the
one before or as soon as that has failed."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, Final, TypeAlias, TypeVar

from pinfut.closing import Closes, closed_on_error
from pinfut.executor.io.sockets import Socket
from pinfut.executor.scope import scope
from pinfut.executor.threads import to_thread
from pinfut.executor.timeout import timeout
from pinfut.future import FutureBase
from pinfut.sync import Event

STAGGER: Final = 0.25
"""Seconds from one attempt to the next, while the first has neither failed nor answered."""

Found: TypeAlias = tuple[int, int, int, str, Any]
"""One address as `getaddrinfo` gives it: family, kind, protocol, name, address."""


S = TypeVar("S", bound=Closes)


def getaddrinfo(
    host: str | None, port: int | str | None, *, kind: int = 0, family: int = 0, flags: int = 0
) -> FutureBase[list[Any]]:
    """`socket.getaddrinfo` in a thread: ``await getaddrinfo("example.org", 80)``."""
    return to_thread(socket.getaddrinfo, host, port, family, kind, 0, flags)


async def connect_tcp(host: str, port: int) -> Socket:
    """Connect to a host by name or number, at the first of its addresses that answers. They are
    tried a quarter of a second apart, IPv6 and IPv4 in turns; the attempts that lose are closed.
    Raises OSError when none answers; of several its cause is an ExceptionGroup of all errors, in
    the order in which the addresses were tried. ValueError for no port."""
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is 0 to 65535, not {port}")
    found = interleaved(await getaddrinfo(host, port, kind=socket.SOCK_STREAM))
    won, errors = await first_to_answer(found, _open)
    if won is not None:
        return won
    try:
        if len(errors) == 1:
            raise errors[0]
        raise OSError(
            f"none of the {len(errors)} addresses of {host!r} answered on port {port}"
        ) from ExceptionGroup("the addresses in the order in which they were tried", errors)
    finally:
        del errors  # they have this frame in their tracebacks


def interleaved(found: Iterable[Found]) -> list[Found]:
    """Addresses in the order in which they are tried: the families in turns, beginning with
    the first address's, and those of one family as they were."""
    families: dict[int, list[Found]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for address in chain.from_iterable(turns) if address is not None]


async def first_to_answer(
    found: Sequence[Found], connect: Callable[[Found], Awaitable[S]]
) -> tuple[S | None, list[OSError]]:
    """What ``connect(address)`` gives for the first of `found` that answers, or None and all errors
    in their order. `connect` owns what it opens until it gives it; what comes too late is closed
    here."""
    if len(found) == 1:
        try:
            return await connect(found[0]), []
        except OSError as error:
            return None, [error]
    errors: dict[int, OSError] = {}
    # Invariant: empty, or the one connection that has won.
    won: list[S] = []

    async def attempt(place: int, over: Event) -> None:
        try:
            sock = await connect(found[place])
        except OSError as error:
            errors[place] = error
            over.set()
            return
        if won:
            sock.close()
        else:
            won.append(sock)
            attempts.cancel()

    try:
        async with scope() as attempts:
            for place in range(len(found)):
                over = Event()
                attempts.spawn(attempt(place, over))
                try:
                    await timeout(STAGGER, over.wait())
                except TimeoutError:
                    continue  # it may answer yet, but the next need not wait for that
    except BaseException:
        for sock in won:
            sock.close()
        raise
    in_order = [errors[place] for place in sorted(errors)]
    errors.clear()  # they have the frames of the attempts in their tracebacks, which know it
    return (won[0] if won else None), in_order


async def _open(address: Found) -> Socket:
    family, kind, proto, _, where = address
    sock = Socket(socket.socket(family, kind, proto))
    with closed_on_error(sock):
        await sock.connect(where)
        sock.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
