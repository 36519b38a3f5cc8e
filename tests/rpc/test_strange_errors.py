"""Errors whose classes have their own idea of everything: each is its call's, and nobody else's."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pytest

from pinfut import pending
from pinfut.executor import spawn, yield_now
from pinfut.rpc import (
    Interface,
    NestedShortage,
    OutOfPages,
    RemoteError,
    RpcError,
    connect,
    method,
    serve,
)
from tests.rpc.world import World, quiet, run


def refuse(*_: object) -> Any:
    raise ZeroDivisionError("it may not be asked")


def leave(*_: object) -> Any:
    raise SystemExit("it may not be asked")


def made(base: type[BaseException], how: Callable[..., Any] = refuse, **names: Any) -> Any:
    """An error of a class whose attributes are `names`; None: a property that does as `how`."""
    own = {name: property(how, how) if value is None else value for name, value in names.items()}
    kind = type(f"Own{base.__name__}", (base,), own)
    return base.__new__(kind, *(("x", [ValueError()]) if kind.__mro__[1] is GROUP else ()))


class Meta(type):
    """Of a class that may not be asked either."""

    __getattribute__ = __eq__ = refuse

    def __hash__(cls) -> int:
        return int(refuse())


class OfMeta(Exception, metaclass=Meta):
    pass


@dataclass(frozen=True)
class Frozen(Exception):
    why: str = "nothing of it may be set"


GROUP: Final[Any] = BaseExceptionGroup

STRANGE: Final[dict[str, Callable[[], BaseException]]] = {
    "__class__": lambda: made(Exception, __class__=None),
    "__class__ that ends the run": lambda: made(Exception, leave, __class__=None),
    "__class__ of another": lambda: made(Exception, __class__=SystemExit),
    "__class__ of a cancel": lambda: made(Exception, __class__=CancelledError),
    "__traceback__": lambda: made(Exception, __traceback__=None),
    "__context__": lambda: made(Exception, __context__=None, __cause__=None),
    "__notes__": lambda: made(Exception, __notes__=None, add_note=None),
    "args": lambda: made(Exception, args=None, with_traceback=None),
    "__dict__": lambda: made(Exception, __dict__=None),
    "texts": lambda: made(Exception, __str__=refuse, __repr__=refuse),
    "texts that end the run": lambda: made(Exception, __str__=leave, __repr__=leave),
    "text of a RuntimeError": lambda: made(RuntimeError, __str__=refuse),
    "comparisons": lambda: made(Exception, __eq__=refuse, __hash__=refuse, __bool__=refuse),
    "all": lambda: made(Exception, __getattribute__=refuse),
    "all that ends the run": lambda: made(Exception, __getattribute__=leave),
    "all of a BaseException": lambda: made(BaseException, __getattribute__=refuse),
    "all of a RuntimeError": lambda: made(RuntimeError, __getattribute__=refuse),
    "all of a cancel": lambda: made(CancelledError, __getattribute__=refuse),
    "all of a group": lambda: made(BaseExceptionGroup, __getattribute__=refuse),
    "all of an RpcError": lambda: made(RpcError, __getattribute__=refuse),
    "all of an OutOfPages": lambda: made(OutOfPages, __getattribute__=refuse),
    "all of a NestedShortage": lambda: made(NestedShortage, __getattribute__=refuse),
    "all of a RemoteError": lambda: made(RemoteError, __getattribute__=refuse),
    "__dict__ of an OutOfPages": lambda: made(OutOfPages, __dict__=None, begun=None),
    "what is set": lambda: made(Exception, __setattr__=refuse),
    "a frozen one": Frozen,
    "its class": OfMeta,
}


@dataclass
class Argument:
    kind: str
    strange: bool = False

    def __post_init__(self) -> None:
        if self.strange:
            raise STRANGE[self.kind]()


class Thing(Interface, Protocol):
    @method
    async def poke(self) -> int: ...


class Strange(Interface, Protocol):
    @method
    async def at_once(self, kind: str) -> int: ...
    @method
    async def later(self, kind: str) -> int: ...
    @method
    async def when_cancelled(self, kind: str) -> int: ...
    @method
    async def decoded(self, argument: Argument) -> int: ...
    @method
    async def thing(self, kind: str) -> Thing: ...
    @method
    async def beside(self, kind: str) -> int: ...
    @method
    async def ping(self) -> int: ...


class StrangeServer(Strange):
    raised = 0

    def _raise(self, kind: str) -> int:
        self.raised += 1
        raise STRANGE[kind]()

    @method
    async def at_once(self, kind: str) -> int:
        return self._raise(kind)

    @method
    async def later(self, kind: str) -> int:
        await yield_now()
        return self._raise(kind)

    @method
    async def when_cancelled(self, kind: str) -> int:
        try:
            await pending()
        finally:
            self._raise(kind)
        return 0

    @method
    async def decoded(self, argument: Argument) -> int:
        return 0

    @method
    async def thing(self, kind: str) -> Thing:
        self._raise(kind)
        raise AssertionError

    @method
    async def beside(self, kind: str) -> int:
        async def fail() -> None:
            await yield_now()
            self._raise(kind)

        spawn(fail())
        return 1

    @method
    async def ping(self) -> int:
        return 1


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_error_is_told_its_caller_and_the_server_goes_on(kind: str) -> None:
    server = StrangeServer()

    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "strange", server),
            connect(world.kernel, "strange", Strange, world.bank("victim")) as victim,
            connect(world.kernel, "strange", Strange, world.bank()) as client,
        ):
            argument = Argument(kind)
            argument.strange = True
            for call in (
                lambda: client.at_once(kind),
                lambda: client.later(kind),
                lambda: client.decoded(argument),
                lambda: client.thing(kind),
                lambda: client.thing(kind).poke(),
            ):
                with pytest.raises(RpcError):
                    await call()
                assert await victim.ping() == 1
            assert server.raised == 4
            cancelled = client.when_cancelled(kind)
            await quiet()
            cancelled.drop()
            await quiet()
            assert await client.beside(kind) == 1
            await quiet()
            assert server.raised == 6
            assert await victim.ping() == await client.ping() == 1
        # What nobody awaited was logged, in whatever words.
        assert len(world.logged) <= 3
        world.logged.clear()

    run(main)


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_error_in_one_process_comes_to_who_awaits_it(kind: str) -> None:
    server = StrangeServer()
    kinds: list[type] = []

    async def fail(kind: str) -> None:
        await yield_now()
        raise STRANGE[kind]()

    async def main(world: World) -> None:
        for call in (
            lambda: server.at_once(kind),
            lambda: server.later(kind),
            lambda: server.thing(kind),
            lambda: server.thing(kind).poke(),
            lambda: spawn(fail(kind)),
        ):
            kinds.append(type(None))
            try:
                await call()
            except BaseException as error:
                kinds[-1] = type(error)
        world.logged.clear()

    run(main)
    wanted = type(STRANGE[kind]())
    assert [type.__getattribute__(one, "__name__") for one in kinds] == 5 * [
        type.__getattribute__(wanted, "__name__")
    ]
