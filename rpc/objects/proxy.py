"""Proxies: what stands for an object that somebody else serves, and the stubs to call it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, cast, final

from pinfut import laws
from pinfut.core import accelerate
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll
from pinfut.rpc import prices
from pinfut.rpc.errors import ProtocolError
from pinfut.rpc.objects.codec import CodecError
from pinfut.rpc.objects.interface import resolve
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import EMBARGOED, IMPORTED, OWN, STATES, Promise, Target
from pinfut.rpc.wire.frames import CALL_HEAD, PLAIN_CALL
from pinfut.stack import require_stack

_CALL = CALL_HEAD.size

RECORD: Final = 20
"""Frames that a promise takes at most to be recorded, in checked mode."""

pack_plain_call = PLAIN_CALL.pack


def cannot_send(method: Method, error: BaseException) -> TypeError:
    """The error for arguments that cannot be encoded."""
    return TypeError(f"{method!r} cannot send these arguments: {error}")


@final
class _Settled(FutureBase[None]):
    """Ready when it is known what a target is; raises when its call failed."""

    __slots__ = ("_target",)

    def __init__(self, target: Target) -> None:
        self._target = target

    def poll(self, cx: Context, /) -> Poll[None]:
        target = self._target
        if target.state <= EMBARGOED:
            if target.waiting is None:
                target.waiting = {}
            target.waiting[self] = cx.waker
            return PENDING
        target.require_usable()
        return None

    def drop(self) -> None:
        # The proxy stays, so the call that gives it goes on.
        if self._target.waiting is not None:
            self._target.waiting.pop(self, None)


def _await(self: Any) -> Generator[Any, Any, Any]:
    """``__await__`` of every proxy: waits until it is known what it stands for, and gives
    the proxy itself, or this side's own object when it is one."""
    target: Target = self._pinfut_target
    if target.state != IMPORTED:
        yield from _Settled(target).__await__()
        if target.state == OWN:
            return target.own
    return self


def _release(self: Any, *_: object) -> None:
    """``release`` of every proxy, and the end of its ``with``."""
    target: Target = self._pinfut_target
    target.caller.release(target)


async def _release_later(self: Any, *_: object) -> None:
    """The end of ``async with`` of every proxy."""
    _release(self)


def _del(self: Any) -> None:
    """``__del__`` of every proxy. It only leaves word: the collector may call it in the
    midst of anything, so the session acts on it later."""
    target = target_of(self)
    if target is not None:
        target.caller.leave(target)


_classes: dict[type, type] = {}


def proxy(target: Target) -> Any:
    """A proxy for `target`: an instance of its interface whose methods call."""
    interface = target.interface
    cls = _classes.get(interface)
    if cls is None:
        cls = _classes[interface] = _make_class(interface)
    instance: Any = object.__new__(cls)
    instance._pinfut_target = target
    return instance


def target_of(thing: Any) -> Target | None:
    """The target of a proxy; None for anything else."""
    return getattr(thing, "_pinfut_target", None)


def _make_class(interface: Any) -> type:
    resolve(interface)
    body: dict[str, Any] = {
        "__await__": _await,
        "__del__": _del,
        "__exit__": _release,
        "__aexit__": _release_later,
        "release": _release,
        "__repr__": _describe,
        "__reduce_ex__": FutureBase.__reduce_ex__,
        "__copy__": FutureBase.__copy__,
        "__deepcopy__": FutureBase.__deepcopy__,
        "_pinfut_proxy": True,
        "_pinfut_charge": prices.PASSED,
    }
    for one in interface._pinfut_methods:
        body[one.name] = _stub(one)
    # A proxy that was handed out again is served by passing the calls on.
    passing = tuple(
        one.served_by(_forwarder(one.name), one.declared_frame, one.frame)
        for one in interface._pinfut_methods
    )
    # The numbers of an interface are those of each that extends it.
    body["_pinfut_tables"] = {
        base: passing[: len(base._pinfut_methods)]
        for base in interface.__mro__
        if vars(base).get("_pinfut_id")
    }
    return cast(type, type(interface)(f"{interface.__name__}Proxy", (interface,), body))


def _forwarder(name: str) -> Any:
    async def forward(self: Any, *args: Any) -> Any:
        return await getattr(self, name)(*args)

    return forward


def submit_plain(target: Target, one: Method, args: tuple[Any, ...], /) -> Promise[Any] | None:
    """The plain case in one piece: data to an object that is there, with a slot at hand and nothing
    that waits. None when it is not that, and nothing was sent."""
    caller = target.caller
    if not caller.flowing or target.state != IMPORTED or not caller.questions.free:
        return None
    assert one.calling is not None
    encode, _, word, room = one.calling
    try:
        payload = encode(args)
    except CodecError as error:
        raise cannot_send(one, error) from error
    size = _CALL + len(payload)
    submissions = caller.submissions
    if size > submissions.largest:
        return None
    # First: behind what was submitted nothing may fail.
    if laws.recording:
        require_stack(RECORD)
    if not caller.touched:
        caller.touch()
    question = caller.questions.acquire()
    try:
        places = submissions.places
        if places and room <= submissions.small:
            place = places.popleft()
        else:
            place = submissions.reserve(room)
    except BaseException:
        caller.questions.release(question)
        raise
    head = pack_plain_call(size, word, question.x, target.id, room, place, 0)
    try:
        written = submissions.submit(head + payload)
    except ProtocolError:
        written = False  # the general way ends the session
    if written:
        question.place = place
        return Promise(caller, question, one, None)
    submissions.release(place)
    caller.questions.release(question)
    return None


def _stub(one: Method) -> Any:
    """The function that a user calls for a method of a proxy."""
    count = len(one.parameters)
    bind = one.bind
    if one.calling is None:

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != count:
                args = bind(args, kwargs)
            target = self._pinfut_target
            return target.caller.call(self, target, one, args)

    else:

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != count:
                args = bind(args, kwargs)
            target = self._pinfut_target
            promise = submit_plain(target, one, args)
            return target.caller.call(self, target, one, args) if promise is None else promise

    call.__name__ = one.name
    call.__qualname__ = one.function.__qualname__
    call.__doc__ = one.function.__doc__
    return call


def _describe(self: Any) -> str:
    target: Target = self._pinfut_target
    return f"<{target.interface.__name__} of {target.caller.name}, {STATES[target.state]}>"


accelerate(globals())
