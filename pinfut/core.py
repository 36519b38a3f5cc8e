"""The core in C: what `pinfut._core` has takes the place of what stands in Python, where it was
built and ``PINFUT_PURE=1`` does not ask for the Python. docs/core.md says what is promised.

A module that has hot paths ends with ``accelerate(globals())``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

ABSENT: str | None = None
"""Why everything runs in Python; None where the core is at work."""

if TYPE_CHECKING:

    class Awaits:
        """The part of a future that await sees."""

        __slots__ = ()

        def __await__(self) -> Generator[Any, Any, Any]:
            raise NotImplementedError

    def bridge(future: Any, /) -> Generator[Any, Any, Any]:
        """What ``__await__`` of `future` gives, whatever its class is."""
        raise NotImplementedError

    def accelerate(module: dict[str, Any], /) -> None:
        """Put what the core has of a module in the place of what the module has."""

    def set_hosted(iterator: Callable[[Any], Generator[Any, Any, Any]] | None, /) -> None:
        """What ``__await__`` of futures gives while a host is open; None: the bridge again."""

else:
    try:
        if os.environ.get("PINFUT_PURE", "0") not in ("", "0"):
            raise ImportError("PINFUT_PURE=1 asks for Python alone")
        from pinfut._core import Awaits, accelerate, bridge, set_hosted

        def _suspended():
            yield

        def throw(*error):
            """Raise it as the generator would for which the bridge stands."""
            generator = _suspended()
            next(generator)
            return generator.throw(*error)

        accelerate(globals())
    except ImportError as error:
        ABSENT = str(error)

        class Awaits:
            """The part of a future that await sees."""

            __slots__ = ()

            def __await__(self):
                # The whole bridge: hand the leaf to what runs the coroutine. The executor
                # polls the leaf, not the frames above it, and sends the value straight in.
                return (yield self)

        bridge = Awaits.__await__
        hosted = None

        def _in_hosts(self):
            return (yield from hosted(self))

        _CODES = bridge.__code__, _in_hosts.__code__

        def accelerate(module):
            """There is no core."""

        def set_hosted(iterator):
            """The bridge gets other code and stays what it is: unboxed code knows it."""
            global hosted
            hosted = iterator
            bridge.__code__ = _CODES[iterator is not None]
