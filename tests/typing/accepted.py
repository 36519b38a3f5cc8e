"""Code that both type checkers accept, with the types that they have to find in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Self, TypeVar, assert_type

from pinfut import (
    AsyncConstructor,
    Pinned,
    Selected,
    Shared,
    StreamBase,
    buffer_unordered,
    buffered,
    catch,
    executor,
    from_async_generator,
    from_iterable,
    from_receiver,
    join,
    lazy,
    map,
    merge,
    pin,
    race,
    select,
    shared,
    then,
    try_join,
)
from pinfut.executor import (
    Clock,
    Entry,
    Executor,
    JoinHandle,
    Poller,
    Priority,
    Runner,
    Schedule,
    Task,
    from_host,
    guest,
    scope,
    sleep,
    spawn,
    timeout,
    to_host,
    yield_now,
)
from pinfut.executor.pollers import EpollPoller, PortablePoller
from pinfut.future import FutureBase
from pinfut.rpc import (
    Bank,
    Promise,
    RemoteError,
    Session,
    SimKernel,
    Vat,
    connect,
    method,
    serve,
    session_of,
)
from pinfut.streams import End, FuturesOrdered, FuturesUnordered
from pinfut.sync import OneshotSender, Receiver, Sender, channel, oneshot
from tests.typing.house import File, Folder, Home


class FileServer(File):
    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    @method(answer=lambda offset, size: size + 64)
    async def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]

    @method
    async def size(self) -> int:
        return len(self.data)


class FolderServer(Folder):
    @method
    async def enter(self, name: str) -> Folder:
        return FolderServer()

    @method
    async def open(self, name: str, create: bool = False) -> File:
        return FileServer()

    @method
    async def names(self) -> list[str]:
        return []

    @method
    async def files(self) -> list[File]:
        return [FileServer()]

    @method
    async def maybe(self, name: str) -> File | None:
        return None

    @method
    async def copy(self, file: File) -> int:
        # A call on an object here or elsewhere has the same type.
        assert_type(file.read(0, 1), Promise[bytes])
        return len(await file.read(0, 1))


class HomeServer(FolderServer, Home):
    @method
    async def owner(self) -> str:
        return "me"


async def calls(root: Folder) -> None:
    assert_type(root.enter("a"), Folder)
    assert_type(root.enter("a").open("b"), File)
    assert_type(root.enter("a").open("b").read(0, 10), Promise[bytes])
    assert_type(await root.enter("a").open("b").read(0, 10), bytes)
    assert_type(await root.enter("a").open(name="b", create=True).read(offset=0, size=1), bytes)
    assert_type(await root.enter("a"), Folder)
    assert_type(await root.open("b"), File)
    assert_type(await (await root.enter("a")).open("b"), File)
    assert_type(await root.names(), list[str])
    assert_type(await root.files(), list[File])
    assert_type([await each.size() for each in await root.files()], list[int])
    assert_type(await root.maybe("x"), File | None)
    assert_type(root.copy(root.open("promise")), Promise[int])
    assert_type(await root.copy(FileServer()), int)
    root.names().drop()


async def sessions(kernel: SimKernel) -> None:
    bank = kernel.bank("client", pages=100)
    assert_type(bank, Bank)
    async with serve(kernel, "home", HomeServer()) as vat:
        assert_type(vat, Vat)
        async with connect(kernel, "home", Folder, bank) as root:
            assert_type(root, Folder)
            await calls(root)
            assert_type(session_of(root), Session)
            assert_type(session_of(root).round_trips, int)
        async with connect(kernel, "home", Home, bank, slots=4, vat=vat) as home:
            assert_type(home, Home)
            assert_type(await home.owner(), str)
            assert_type(home.enter("a"), Folder)
            await calls(home)


async def combined(root: Folder) -> None:
    file = root.open("f")
    assert_type(await join(file.read(0, 1), root.names()), tuple[bytes, list[str]])
    assert_type(await join(file.read(0, 1), file, root.names()), tuple[bytes, File, list[str]])
    assert_type(await join(*[file.size() for _ in range(9)]), tuple[int, ...])
    assert_type(await race(file.size(), file.size()), int)
    assert_type(await select(file.size(), file.size()), Selected[int])
    assert_type((await select(file.size(), file.size())).value, int)
    assert_type(map(file.read(0, 1), len), FutureBase[int])
    assert_type(await map(file.read(0, 1), len), int)


async def number() -> int:
    return 1


async def word() -> str:
    return "one"


async def maybe() -> bytes | None:
    return None


async def combined_more(root: Folder) -> None:
    assert_type(await join(), tuple[()])
    assert_type(
        await try_join(number(), word(), maybe(), number(), word()),
        tuple[int, str, bytes | None, int, str],
    )
    assert_type(await race(number(), word(), maybe()), int | str | bytes | None)
    assert_type(await then(number(), lambda n: word()), str)
    assert_type(await catch(number(), KeyError, str), int | str)
    assert_type(await catch(number(), (KeyError, ValueError), lambda error: None), int | None)
    assert_type(await lazy(word), str)
    assert_type(shared(number()), Shared[int])
    assert_type(await shared(number()).clone(), int)
    assert_type(timeout(1, maybe()), FutureBase[bytes | None])
    assert_type(await timeout(1, root.open("a").read(0, 1)), bytes)
    assert_type(map(maybe(), lambda value: value or b""), FutureBase[bytes])


async def pinned(root: Folder) -> None:
    n, w = pin(number()), pin(word())
    assert_type(n, Pinned[int])
    assert_type(pin(root.names()), Pinned[list[str]])
    assert_type(await n, int)
    assert_type(map(n, str), Pinned[str])
    assert_type(then(n, lambda n: word()), Pinned[str])
    assert_type(join(n, w), Pinned[tuple[int, str]])
    assert_type(try_join(n, w, n, w), Pinned[tuple[int, str, int, str]])
    assert_type(join(n, word()), FutureBase[tuple[int, str]])
    won = await select(n, w, maybe())
    assert_type(won, Selected[int | str | bytes | None])
    assert_type(won.losers, tuple[Pinned[int | str | bytes | None], ...])
    again = await select(*won.losers)
    assert_type(again, Selected[int | str | bytes | None])
    again.losers[0].drop()


async def lines() -> AsyncGenerator[bytes, None]:
    yield b""


async def streams(rx: Receiver[int]) -> None:
    numbers = from_iterable([1, 2])
    assert_type(numbers, StreamBase[int])
    assert_type(await numbers.next(), int | End)
    chain = numbers.map(str).filter(len).take(3).chunks(2).zip(from_async_generator(lines()))
    assert_type(chain, StreamBase[tuple[list[str], bytes]])
    assert_type(await chain.collect(10), list[tuple[list[str], bytes]])
    async for texts, line in chain:
        assert_type(texts, list[str])
        assert_type(line, bytes)
    async with chain as opened:
        assert_type(opened, StreamBase[tuple[list[str], bytes]])
    assert_type(await numbers.fold("", lambda text, n: text + str(n)), str)
    await numbers.for_each(sleep)
    assert_type(buffered(numbers.map(lambda n: word()), 2), StreamBase[str])
    assert_type(buffer_unordered(numbers.map(lambda n: maybe()), 2), StreamBase[bytes | None])
    assert_type(merge(numbers, from_receiver(rx)), StreamBase[int])
    assert_type(merge(numbers, numbers.map(str)), StreamBase[int | str])
    async for value in rx:
        assert_type(value, int)
    either: FuturesUnordered[int] | FuturesOrdered[int] = FuturesOrdered(4)
    either.push(number())
    assert_type(await either.next(), int | End)


async def tasks(root: Folder) -> None:
    task = spawn(number(), name="n")
    assert_type(task, Task[int])
    assert_type(await task, int)
    async with scope() as children:
        assert_type(children.spawn(number()), Task[int])
    with timeout(1.0):
        await sleep(0.1)
    try:
        await root.names()
    except RemoteError as error:
        assert_type(error.kind, str)
        assert_type(error.detail, str)


T = TypeVar("T")


class Constructed:
    @classmethod
    async def construct(cls, key: int, *, name: str = "") -> Self:
        return cls()


async def constructs(kind: AsyncConstructor[[int], T]) -> T:
    return await kind.construct(1)


async def constructed() -> None:
    assert_type(await constructs(Constructed), Constructed)


async def queues() -> None:
    both: tuple[Sender[int], Receiver[int]] = channel(4)
    texts, maybe = channel[str | None](4)
    assert_type(texts, Sender[str | None])
    assert_type(maybe, Receiver[str | None])
    await both[0].send(1)
    assert_type(await both[1].recv(), int)
    ends: tuple[OneshotSender[str], FutureBase[str]] = oneshot()
    ends[0].send("x")
    assert_type(await ends[1], str)
    signal, wait = oneshot()
    signal.send(None)
    assert_type(await wait, None)


def run() -> None:
    assert_type(executor.run(number()), int)


# ---- parts of an executor that somebody else writes ----


class LeapClock:
    def now(self) -> float:
        return 0.0

    def idle(self, poller: Poller, deadline: float | None) -> None:
        poller.park(0)


class LastFirst:
    def take(self, ready: deque[Entry], /) -> Entry:
        return ready.pop()


async def across(file: File) -> None:
    async with guest() as executor:
        assert_type(executor, Executor)
        assert_type(await from_host(number()), int)
        assert_type(await from_host(file.read(0, 1)), bytes)
        assert_type(await to_host(asyncio.sleep(1, "slept")), str)
        assert_type(await to_host(asyncio.Future[int]()), int)


class Handle:
    def __init__(self, runner: Runner) -> None:
        self.leaf: object = yield_now()
        self.queued = False
        self.name = "handle"
        self.queue = runner.ready

    def wake(self) -> None:
        self.queue.append(self)

    def fail(self, error: BaseException, /) -> None:
        raise AssertionError from error


class Ends:
    def ended(self, task: JoinHandle[int], /) -> None:
        assert_type(task.result(), int)


def parts() -> None:
    clock: Clock = LeapClock()
    schedule: Schedule = LastFirst()
    runner: Runner = Executor(clock=clock, schedule=schedule)
    entry: Entry = Handle(runner)
    urgency: Priority = "high"
    handle: JoinHandle[int] = runner.spawn(number(), priority=urgency, owner=Ends())
    entry = handle
    pollers: list[Poller] = [EpollPoller(runner), PortablePoller(runner)]
    assert entry is handle
    assert pollers
