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
calls can be chained on what has not come yet.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeVar,
    get_type_hints,
    overload,
)

from pinfut.rpc import prices
from pinfut.rpc.objects.codec import Codec
from pinfut.rpc.objects.handlers import frame_price
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

    Class arguments: ``name=`` what the interface is called on the wire (its class name by
    default); ``charge=`` bytes that an object of an implementing class holds at most, paid
    by the client that it is handed to.
    """

    # Of the class that declares: the id of the interface on the wire. 0 here: the base is none.
    _pinfut_id: ClassVar[int] = 0
    _pinfut_methods: ClassVar[tuple[Method, ...]] = ()
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
            _implement(cls)

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from ()  # a generator, as every __await__ is
        return self


def _declare(cls: Any, name: str) -> None:
    """Number the methods of an interface: the inherited first, then its own, as written."""
    methods: list[Method] = []
    for base in reversed(cls.__mro__):
        for key, value in vars(base).items():
            if isinstance(value, Method) and not any(m.name == key for m in methods):
                methods.append(value)
            elif base is cls and inspect.iscoroutinefunction(value):
                raise TypeError(f"{cls.__name__}.{key}: write @method above it")
    for number, one in enumerate(methods):
        if one.interface == "?":
            one.interface, one.number = cls.__name__, number
        elif one.number != number:
            raise TypeError(
                f"{cls.__name__}: {one.name} is number {one.number} of {one.interface} and would "
                f"be number {number} here; an interface extends one other"
            )
    cls._pinfut_methods = tuple(methods)
    cls._pinfut_name = name
    cls._pinfut_id = _wire_id(cls)
    _by_name[cls.__name__] = cls
    _by_id[cls._pinfut_id] = cls


def _implement(cls: Any) -> None:
    """Check an implementing class against its interface and collect what serves it."""
    served = []
    for declared in cls._pinfut_methods:
        found = inspect.getattr_static(cls, declared.name)
        owner = next(base for base in cls.__mro__ if declared.name in vars(base))
        if getattr(owner, "_is_protocol", False):
            raise TypeError(
                f"{cls.__name__} does not implement {declared!r}: write "
                f"'@method async def {declared.name}' in it{_misspelt(cls, declared.name)}"
            )
        if not isinstance(found, Method):
            raise TypeError(
                f"{cls.__name__}.{declared.name} implements {declared!r}; write @method above it"
            )
        if found.parameters != declared.parameters:
            raise TypeError(
                f"{cls.__name__}.{declared.name}({', '.join(found.parameters)}) implements "
                f"{declared!r}, which takes ({', '.join(declared.parameters)})"
            )
        found.interface, found.number = declared.interface, declared.number
        served.append(found)
    cls._pinfut_methods = tuple(served)


def _misspelt(cls: Any, name: str) -> str:
    """Which of the methods that are of no interface may have been meant."""
    stray = [key for key, value in vars(cls).items() if isinstance(value, Method)]
    close = difflib.get_close_matches(name, stray, 1)
    return f"; {close[0]} is a method of no interface" if close else ""


def interface_of(thing: object) -> Any:
    """The interface that an object implements, or a proxy stands for: the innermost class
    that declares. Raises TypeError for what is no such object."""
    for cls in type(thing).__mro__:
        if vars(cls).get("_pinfut_id"):
            return cls
    raise TypeError(f"{thing!r} is no capability; its class has to implement an Interface")


def _look_up(one: Method) -> None:
    """Look the annotations up. Raises TypeError for those that are missing, unknown, or
    no plain data."""
    where = one.function.__qualname__
    try:
        # What the module says goes before what some other one declares under that name.
        hints = get_type_hints(
            one.function,
            {**_by_name, **one.function.__globals__},
            one.names,
            include_extras=True,
        )
    except NameError as error:
        raise TypeError(
            f"{where}: the annotation {error.name!r} is not known here; define it at the "
            "top of the module, or before the interface"
        ) from error
    missing = [name for name in (*one.parameters, "return") if name not in hints]
    if missing:
        raise TypeError(f"{where}: annotate {', '.join(missing)}: the types say what may be sent")
    kinds = tuple(hints[name] for name in one.parameters)
    result = hints["return"]
    is_interface = isinstance(result, type) and Interface in result.__mro__
    try:
        one.arguments = Codec(tuple.__class_getitem__(kinds), Interface)
        one.result = Codec(result, Interface)
    except TypeError as error:
        raise TypeError(
            f"{where}: {error}; methods take and return plain data and capabilities"
        ) from error
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
    one.serving = (
        one.function,
        None if one.arguments.has_caps else one.arguments.decode,
        one.frame,
        one.result.exact,
        one.result.encode,
        SHORT_FLAT if FLAT.issuperset(kinds) else SHORT,
    )


def resolve(cls: Any) -> None:
    """Look the annotations of all methods up, once. Raises TypeError for those that are missing,
    unknown, or no plain data."""
    # Of a proxy's class the methods are copies of such as have been looked up.
    if cls not in _resolved and "_pinfut_proxy" not in vars(cls):
        for one in cls._pinfut_methods:
            _look_up(one)
        _resolved.add(cls)


def provides(cls: Any, wire_id: int) -> bool:
    """Whether an interface is the one of that id, or extends it."""
    return any(vars(base).get("_pinfut_id") == wire_id for base in cls.__mro__)


def speaks(wire_id: int, wanted: Any) -> bool:
    """Whether the interface of that id is `wanted`, or extends it."""
    known = _by_id.get(wire_id)
    return wire_id == wanted._pinfut_id or (
        known is not None and provides(known, wanted._pinfut_id)
    )


def interface_by_id(wire_id: int) -> Any:
    """The interface of that id; None when this process has none."""
    return _by_id.get(wire_id)


def _wire_id(cls: Any) -> int:
    """The 64 bits that name an interface on the wire: a digest of its name and of the
    names and parameters of its methods."""
    parts = [cls._pinfut_name]
    parts += [f"{m.name}({','.join(m.parameters)})" for m in cls._pinfut_methods]
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
    *, answer: int | Callable[..., int] | None = None, frame: int | None = None
) -> _Decorator: ...
def method(
    function: Any = None,
    /,
    *,
    answer: int | Callable[..., int] | None = None,
    frame: int | None = None,
) -> Any:
    """Marks an ``async def`` as a method that can be called remotely.

    `answer`: bytes that the caller reserves for the answer, 1,024 by default; a function
    of the arguments where it depends on them. `frame`: bytes that the handler's coroutine
    holds at most, charged to the caller before it starts; arguments that are not short are
    charged by their size on top. Raises TypeError for anything
    but an ``async def`` with named parameters.
    """
    if frame is not None and (type(frame) is not int or frame < 0):
        raise ValueError(f"frame is a size in bytes, not {frame!r}")
    if not (answer is None or type(answer) is int or callable(answer)):
        raise ValueError(f"answer is a size in bytes or a function that gives one, not {answer!r}")
    if function is not None:
        return Method(function, answer, frame)
    return lambda function: Method(function, answer, frame)
