"""Methods: what one method of an interface needs to be called and served."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, final

from pinfut.rpc import prices
from pinfut.rpc.objects.codec import Codec
from pinfut.rpc.objects.demands import Demands

ANSWER: Final = 1024
"""Bytes reserved for an answer unless the method declares another bound."""

MIN_ANSWER: Final = 256
"""The least that is reserved, so that an error always has room."""

MAX_ANSWER: Final = 1 << 26


@final
class Method:
    """One method of an interface, or what implements it. What depends on the annotations is there
    after `interface.resolve`, which waits until the interface is used for the first time, when all
    that they name exists."""

    __slots__ = (
        *("_answer", "arguments", "calling", "declared_frame", "demands", "expansion"),
        *("fixed_room", "frame", "function", "interface", "name", "names", "number"),
        *("parameters", "result", "result_expansion", "returns", "serving", "signature", "told"),
        "touch",
    )

    call_here: ClassVar[Callable[[Method, Any, tuple[Any, ...], dict[str, Any]], Any]]
    """Calls a method of an object of this process; `pinfut.rpc.objects.local` says how."""
    arguments: Codec
    """Of the arguments, as a tuple."""
    demands: Demands | None
    """What capabilities in the arguments have to be besides of their interfaces."""
    result: Codec
    expansion: tuple[int, int]
    """Bytes that the arguments take at most for each byte of their message, and besides."""
    result_expansion: tuple[int, int]
    returns: Any
    """The interface that a call gives, or None when it gives data."""
    calling: tuple[Callable[[Any], bytes], Callable[[bytes], Any], int, int] | None
    """For the caller: encode the arguments, decode the result, number and kind as a plain
    call has them, room. None unless neither has capabilities and the room is fixed."""
    serving: tuple[
        Callable[..., Any], Callable[[bytes], Any] | None, int, Any, Callable[[Any], bytes], int
    ]
    """For the callee: the function, decode the arguments (None when they have capabilities),
    bytes of the frame, the class of the result when a look at it is all the check that it
    needs, encode the result, and the longest message whose arguments the frame has room for."""

    def __init__(
        self,
        function: Callable[..., Coroutine[Any, Any, Any]],
        answer: Any,
        frame: int | None,
        touch: int | None,
    ) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"@method is for 'async def'; write 'async def {getattr(function, '__name__', '')}'"
            )
        self.function = function
        self.name = function.__name__
        self.number = -1
        self.interface: str = "?"
        # Bytes for a handler, task and all; what `frame=` declares, or None.
        self.declared_frame = frame
        self.frame = prices.HANDLER if frame is None else frame
        # Bytes that the arguments of a call may have on their way; None for what a session takes.
        self.touch = touch
        # Whether somebody was told that the bound of the frame is too low.
        self.told = False
        self._answer = answer
        # What to reserve for an answer when it does not depend on the arguments.
        self.fixed_room: int | None = None
        if answer is None:
            self.fixed_room = ANSWER
        elif isinstance(answer, int):
            self.fixed_room = self._bounded(answer)
        self.signature = inspect.signature(function)
        parameters = list(self.signature.parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(
                    f"{function.__qualname__}: *args and **kwargs cannot be called "
                    "remotely; name the parameters"
                )
            if parameter.kind == parameter.KEYWORD_ONLY:
                raise TypeError(
                    f"{function.__qualname__}: {parameter.name!r} is keyword-only; arguments "
                    "travel by position, so leave the '*' out"
                )
        self.parameters = tuple(p.name for p in parameters)
        # What the annotations may name besides the names of their module.
        self.names = _enclosing_names(function)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return lambda *args, **kwargs: Method.call_here(self, instance, args, kwargs)

    def __repr__(self) -> str:
        return f"<method {self.interface}.{self.name}>"

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments in the order of the parameters. Raises TypeError as a call does."""
        bound = self.signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())[1:]

    def served_by(
        self, function: Callable[..., Coroutine[Any, Any, Any]], declared: int | None, frame: int
    ) -> Method:
        """This method, which was looked up, with another body and what is charged for that."""
        other = copy.copy(self)
        other.function = function
        other.declared_frame, other.frame = declared, frame
        _, decode, _, *rest = self.serving
        other.serving = (function, decode, frame, *rest)
        return other

    def room(self, args: tuple[Any, ...]) -> int:
        """How many bytes to reserve for the answer to these arguments. Raises ValueError for a
        bound that makes no sense."""
        if self.fixed_room is not None:
            return self.fixed_room
        try:
            # Below 0 for arguments that make no sense; the server will say so.
            size = max(0, int(self._answer(*args)))
        except Exception as error:
            raise TypeError(
                f"{self!r}: the bound of its answer (answer=) cannot be computed from these "
                f"arguments: {error}"
            ) from error
        return self._bounded(size)

    def _bounded(self, size: int) -> int:
        if not 0 <= size <= MAX_ANSWER:
            raise ValueError(
                f"{self.function.__qualname__}: an answer of {size} bytes; "
                f"0 to {MAX_ANSWER} are possible"
            )
        return max(size, MIN_ANSWER)


def _enclosing_names(function: Callable[..., Any]) -> dict[str, Any]:
    """The local names around an interface that is declared inside a function."""
    if "<locals>" not in function.__qualname__:
        return {}
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("pinfut."):
        frame = frame.f_back
    # That is the class body; what surrounds it is one further out.
    return dict(frame.f_back.f_locals) if frame is not None and frame.f_back is not None else {}
