"""Interfaces: what can be called, declared once for both sides.

::

    class Echo(Interface, Protocol):          # lists Protocol: it declares
        @method
        async def echo(self, text: str) -> str: ...

    class EchoServer(Echo):                   # does not: it implements
        @method
        async def echo(self, text: str) -> str:
            return text

A call of a method gives, to the type checker and at run time, the interface that it is
annotated with when it returns a capability, and a `Promise` of its value otherwise. So
calls can be chained on what has not come yet."""

from __future__ import annotations

import hashlib
import inspect
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar, overload

from pinfut.rpc import prices
from pinfut.rpc.errors import InterfaceMismatch
from pinfut.rpc.objects.codec import Codec
from pinfut.rpc.objects.demands import demands_in, without
from pinfut.rpc.objects.expansion import expansion
from pinfut.rpc.objects.handlers import frame_price
from pinfut.rpc.objects.implement import check, check_types, hints_of
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import Promise
from pinfut.rpc.objects.weight import FLAT, SHORT, SHORT_FLAT
from pinfut.rpc.wire import frames

if TYPE_CHECKING:
    from typing import Self

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
I = TypeVar("I", bound="Interface")  # noqa: E741

# Interfaces are program text: as many as there are class statements, however many calls.
_by_name: dict[str, Any] = {}
_by_id: dict[int, Any] = {}
_resolved: weakref.WeakSet[Any] = weakref.WeakSet()


if TYPE_CHECKING:
    from typing import _ProtocolMeta
else:
    _ProtocolMeta = type(Protocol)  # typing has no public name for it


class _InterfaceMeta(_ProtocolMeta):
    """Makes ``isinstance(x, Echo)`` ask for the class, not for its shape."""

    def __instancecheck__(cls, instance: object) -> bool:
        return cls in type(instance).__mro__

    def __subclasscheck__(cls, subclass: type) -> bool:
        return cls in getattr(subclass, "__mro__", ())


class Interface(Protocol, metaclass=_InterfaceMeta):
    """Base of all interfaces and of what implements them; awaiting one gives itself.

    ``with`` and ``async with`` let go of a proxy when the block ends, and `release` does so at
    once: what the other side holds for it is refunded when that is told, whatever still names the
    proxy. ``async with`` waits first until it is known what it stands for. An object of this
    process stays as it is.

    Class arguments: ``name=`` what the interface is called on the wire (its class name by
    default); ``charge=`` bytes that an object of an implementing class holds at most, paid
    by the client that it is handed to."""

    # Of the class that declares: the id of the interface on the wire, with those that it extends,
    # and its methods by number. 0 here: the base is none.
    _pinfut_id: ClassVar[int] = 0
    _pinfut_ids: ClassVar[frozenset[int]] = frozenset()
    _pinfut_methods: ClassVar[tuple[Method, ...]] = ()
    # Of a class that implements, once it was looked up: what serves each of its interfaces.
    _pinfut_tables: ClassVar[dict[Any, tuple[Method, ...]]] = {}
    _pinfut_name: ClassVar[str] = "Interface"
    _pinfut_charge: ClassVar[int] = prices.OBJECT

    def __init_subclass__(cls, *, name: str | None = None, charge: int | None = None) -> None:
        super().__init_subclass__()
        if "_pinfut_proxy" in vars(cls):
            return
        if charge is not None:
            if type(charge) is not int or charge < 0:
                raise ValueError(f"{cls.__name__}: charge is 0 bytes or more, not {charge!r}")
            cls._pinfut_charge = charge
        if getattr(cls, "_is_protocol", False):
            _declare(cls, name or cls.__name__)
        else:
            if name is not None:
                raise TypeError(
                    f"{cls.__name__}: name= belongs to an interface, which lists "
                    "Protocol among its bases"
                )
            cls._pinfut_tables = {}
            check(cls, _interfaces(cls))

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from ()  # a generator, as every __await__ is
        return self

    def release(self) -> None:
        """Let go of what this proxy stands for; a promise is cancelled. Idempotent. To use it
        afterwards raises TakenTwice. Nothing for an object of this process."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """See `release`."""
        return

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *_: object) -> None:
        """See `release`."""
        return


def _declare(cls: Any, name: str) -> None:
    """Number the methods of an interface: the inherited first, then its own, as written. So the
    numbers of an interface are those of each that extends it."""
    extended = _interfaces(cls)
    inherited: tuple[Method, ...] = extended[0]._pinfut_methods if extended else ()
    for other in extended:
        if other._pinfut_methods != inherited[: len(other._pinfut_methods)]:
            raise TypeError(
                f"{cls.__name__}: an interface extends one other, and {extended[0].__name__} and "
                f"{other.__name__} are two"
            )
    methods = list(inherited)
    for key, value in vars(cls).items():
        if isinstance(value, Method):
            if value.interface != "?" or any(one.name == key for one in inherited):
                raise TypeError(
                    f"{cls.__name__}.{key} is declared already, by {extended[0].__name__}; "
                    "leave it out, or give it another name"
                    if extended
                    else f"{cls.__name__}.{key} is {value!r} already; write one of its own"
                )
            if key == "release":
                raise TypeError(
                    f"{cls.__name__}.release: release() lets go of a proxy, so no method is "
                    "called that"
                )
            value.interface, value.number = cls.__name__, len(methods)
            methods.append(value)
        elif inspect.iscoroutinefunction(value):
            raise TypeError(f"{cls.__name__}.{key}: write @method above it")
    cls._pinfut_methods = tuple(methods)
    cls._pinfut_name = name
    cls._pinfut_id = _wire_id(cls)
    cls._pinfut_ids = frozenset((cls._pinfut_id, *(one._pinfut_id for one in extended)))
    _by_name[cls.__name__] = cls
    _by_id[cls._pinfut_id] = cls


def _interfaces(cls: Any) -> list[Any]:
    """The interfaces that a class implements or extends, innermost first."""
    return [base for base in cls.__mro__ if vars(base).get("_pinfut_id")]


def interface_of(thing: object, wanted: Any = Interface) -> Any:
    """The interface that an object is handed out as where `wanted` is declared: that one; of a
    class that implements, and of the object's where Interface itself is declared, the one that
    it implements. Raises TypeError for what is no such object, and where there are several."""
    if vars(wanted).get("_pinfut_id"):
        return wanted
    cls = type(thing) if wanted is Interface else wanted
    found = _interfaces(cls)
    if not found:
        raise TypeError(f"{thing!r} is no capability; its class has to implement an Interface")
    if not spans(found[0], cls):
        raise TypeError(f"{cls.__name__} implements {_names(found)}; declare which is handed out")
    return found[0]


def spans(interface: Any, cls: Any) -> bool:
    """Whether an interface is, or extends, each that a class implements."""
    ids: frozenset[int] = interface._pinfut_ids
    return ids.issuperset(one._pinfut_id for one in _interfaces(cls))


def is_capability(thing: object) -> bool:
    """Whether the class of an object implements an interface."""
    return Interface in type(thing).__mro__


def interface_at(thing: object, wire_id: int) -> Any:
    """The interface of that id, which `thing` implements. Raises InterfaceMismatch."""
    found = _interfaces(type(thing))
    for one in found:
        if one._pinfut_id == wire_id:
            return one
    speaks = f"{_names(found)} (id {found[0]._pinfut_id:016x})" if found else "no interface"
    raise InterfaceMismatch(
        f"this service speaks {speaks} and the client "
        f"expects id {wire_id:016x}: both need the same methods"
    )


def _names(interfaces: list[Any]) -> str:
    """The innermost of these, as one says it."""
    inherited = [one for each in interfaces for one in _interfaces(each)[1:]]
    return " and ".join(one.__name__ for one in interfaces if one not in inherited)


def _hints(one: Method) -> dict[str, Any]:
    """Look the annotations up. Raises TypeError for those that are missing or unknown."""
    where = one.function.__qualname__
    try:
        # What the module says goes before what some other one declares under that name.
        hints = hints_of(one, _by_name)
    except NameError as error:
        raise TypeError(
            f"{where}: the annotation {error.name!r} is not known here; define it at the "
            "top of the module, or before the interface"
        ) from error
    missing = [name for name in (*one.parameters, "return") if name not in hints]
    if missing:
        raise TypeError(f"{where}: annotate {', '.join(missing)}: the types say what may be sent")
    return hints


def _look_up(one: Method) -> None:
    """Prepare a method that is declared. Raises TypeError for annotations that are missing,
    unknown, or no plain data."""
    hints = _hints(one)
    declared = tuple(hints[name] for name in one.parameters)
    kinds = tuple(map(without, declared))
    result = hints["return"]
    is_interface = isinstance(result, type) and Interface in result.__mro__
    try:
        one.demands = demands_in(declared, Interface)
        one.arguments = Codec(tuple.__class_getitem__(kinds), Interface, one.touch)
        one.result = Codec(result, Interface)
    except TypeError as error:
        raise TypeError(
            f"{one.function.__qualname__}: {error}; methods take and return plain data and "
            "capabilities"
        ) from error
    one.expansion = expansion(one.arguments.type)
    one.result_expansion = expansion(one.result.type)
    one.returns = result if is_interface else None
    one.calling = None
    if not (one.arguments.has_caps or one.result.has_caps or one.fixed_room is None):
        one.calling = (
            one.arguments.encode,
            one.result.decode,
            one.number << 16 | frames.CALL,
            one.fixed_room,
        )
    if one.declared_frame is None:
        one.frame = frame_price(one.function)
    short = SHORT_FLAT if FLAT.issuperset(kinds) else SHORT
    one.serving = (
        one.function,
        None if one.arguments.has_caps else one.arguments.decode,
        one.frame,
        one.result.exact,
        one.result.encode,
        short if one.touch is None else min(short, one.touch),
    )


def _serve(cls: Any, declared: Method) -> Method:
    """What serves a method of an interface in an implementing class: its own body and frame, and
    for all that crosses the wire what is declared. Raises TypeError when it cannot."""
    found: Method = getattr(cls, declared.name)
    check_types(found, _hints(declared), _hints(found))
    found.returns = declared.returns
    if found.declared_frame is None:
        found.frame = frame_price(found.function)
    return declared.served_by(found.function, found.declared_frame, found.frame)


def resolve(cls: Any) -> None:
    """Look the annotations of all methods up, once. Raises TypeError for those that are missing,
    unknown, no plain data, or other than an interface's of the class."""
    # A proxy's class is made of what has been looked up.
    if cls in _resolved or "_pinfut_proxy" in vars(cls):
        return
    if vars(cls).get("_pinfut_id"):
        for one in cls._pinfut_methods:
            _look_up(one)
    else:
        tables = {}
        for interface in _interfaces(cls):
            resolve(interface)
            tables[interface] = tuple(_serve(cls, one) for one in interface._pinfut_methods)
        cls._pinfut_tables = tables
    _resolved.add(cls)


def longest(cls: Any) -> int | None:
    """Bytes of the longest call that the interfaces of a class allow, with those that their methods
    give or take. None where one of the methods does not say (`touch`)."""
    left: list[Any] = _interfaces(cls)
    found = 0
    for interface in left:  # which grows meanwhile
        if interface is Interface:
            return None  # any at all
        resolve(interface)
        for one in interface._pinfut_methods:
            if one.touch is None:
                return None
            found = max(found, frames.longest_call(one.touch))
            left += (one.arguments.interfaces | one.result.interfaces).difference(left)
    return found


def speaks(wire_id: int, wanted: Any) -> bool:
    """Whether the interface of that id is `wanted`, or extends it."""
    known = _by_id.get(wire_id)
    if wanted is Interface:
        return known is not None
    return wire_id == wanted._pinfut_id or (
        known is not None and wanted._pinfut_id in known._pinfut_ids
    )


def interface_by_id(wire_id: int) -> Any:
    """The interface of that id; None when this process has none."""
    return _by_id.get(wire_id)


def _wire_id(cls: Any) -> int:
    """The 64 bits that name an interface on the wire: a digest of its name and of the
    names, parameters and `touch` of its methods."""
    parts = [cls._pinfut_name]
    for m in cls._pinfut_methods:
        parts.append(f"{m.name}({','.join(m.parameters)}){'' if m.touch is None else m.touch}")
    digest = hashlib.blake2b(";".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class _Decorator(Protocol):
    @overload  # the interface is the more precise of two that match
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, I]], /
    ) -> Callable[Concatenate[S, P], I]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]], /
    ) -> Callable[Concatenate[S, P], Promise[T]]: ...


@overload  # the interface is the more precise of two that match
def method(  # type: ignore[overload-overlap]
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, I]], /
) -> Callable[Concatenate[S, P], I]: ...
@overload
def method(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]], /
) -> Callable[Concatenate[S, P], Promise[T]]: ...
@overload
def method(
    *,
    answer: int | Callable[..., int] | None = None,
    frame: int | None = None,
    touch: int | None = None,
) -> _Decorator: ...
def method(
    function: Any = None,
    /,
    *,
    answer: int | Callable[..., int] | None = None,
    frame: int | None = None,
    touch: int | None = None,
) -> Any:
    """Marks an ``async def`` as a method that can be called remotely.

    `answer`: bytes that the caller reserves for the answer, 1,024 by default; a function
    of the arguments where it depends on them. `frame`: bytes that the handler's coroutine
    holds at most, charged to the caller before it starts; arguments that are not short are
    charged by their size on top. `touch`, in an interface: bytes that the arguments of a call may
    have as they travel, which the server copies and looks at; more is MessageTooLarge where the
    call is made. Raises TypeError for anything but an ``async def`` with named parameters."""
    for what, size in (("frame", frame), ("touch", touch)):
        if size is not None and (type(size) is not int or size < 0):
            raise ValueError(f"{what} is a size in bytes, not {size!r}")
    if not (answer is None or type(answer) is int or callable(answer)):
        raise ValueError(f"answer is a size in bytes or a function that gives one, not {answer!r}")
    if function is not None:
        return Method(function, answer, frame, touch)
    return lambda function: Method(function, answer, frame, touch)
