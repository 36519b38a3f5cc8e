"""Payers: what is allocated while a payer is current lies in pages that this payer bought.

The extension `pinfut._payers` does it where it was built; where it was not, the names are here
and say so. docs/payers.md says what is promised."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from pinfut.future import let_go

PAGE: Final = 4096
"""Bytes."""


class PayersUnavailable(RuntimeError):
    """There are no payers in this process; the text says why."""


_ABSENT: str | None = None  # why the extension is not here

if TYPE_CHECKING:
    from pinfut import _payers
    from pinfut._payers import Payer, current, off_call, owner, reserve, stats
else:
    try:
        from pinfut import _payers
        from pinfut._payers import Payer, current, off_call, owner, reserve, stats
    except ImportError as error:
        _payers = None
        _ABSENT = f"the extension pinfut._payers is not here: {error}"

        class Payer:
            """In place of the extension's: cannot be made."""

            def __new__(cls, limit: int) -> NoReturn:
                raise PayersUnavailable(_ABSENT)

        def off_call(function, /, *args, **kwargs):
            """There is nobody on whose account it could be."""
            return function(*args, **kwargs)

        def owner(value: object, /) -> None:
            """Nobody."""

        def current() -> tuple[None, str]:
            """Nobody."""
            return None, "off"

        def stats() -> dict[str, int]:
            """No pages."""
            return {"used": 0, "kept": 0, "top": 0, "range": 0}

        def reserve(pages: int | None = None, /) -> int:
            """No pages."""
            return 0


__all__ = [
    "PAGE", "Leak", "Payer", "PayersUnavailable", "current", "install",
    "installed", "leaks", "off_call", "owner", "reserve", "stats", "why_not",
]  # fmt: skip

_installed = False


def installed() -> bool:
    """Whether `install` was called and did it."""
    return _installed


def why_not() -> str | None:
    """Why `install` would raise here and now; None where it would not."""
    if _installed:
        return None
    if _ABSENT is not None:
        return _ABSENT
    import sysconfig  # these two not for everybody who starts a task
    import tracemalloc

    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this interpreter is built without the global lock, which payers need"
    if tracemalloc.is_tracing():
        return "tracemalloc was started before: stop it, install payers, and start it again"
    return None


def install() -> None:
    """Hook Python's allocators (the domains MEM and OBJ) in this process, for good. Idempotent.
    Nothing changes until a payer is made current. Raises PayersUnavailable with the reason."""
    global _installed
    if _installed:
        return
    reason = why_not()
    if reason is not None:
        raise PayersUnavailable(reason)
    try:
        _payers.install(_start, threading.main_thread().ident or 0, let_go)
    except RuntimeError as error:
        raise PayersUnavailable(str(error)) from None
    _installed = True
    # A collection runs the finalizers of others: on nobody's account.
    gc.callbacks.append(_payers.collecting)
    os.register_at_fork(after_in_child=_forked)


_deliverer: threading.Thread | None = None


def _start() -> None:
    """A thread with a payer may need a MemoryError, which only another thread can send to it."""
    global _deliverer
    if _deliverer is None:
        _deliverer = threading.Thread(target=_deliver, name="pinfut payers", daemon=True)
        _deliverer.start()


def _deliver() -> NoReturn:
    while True:
        _payers.deliver()


def _forked() -> None:
    global _deliverer
    _deliverer = None
    _payers.forked()


class Leak(NamedTuple):
    """What still holds an object of a payer whose clients are gone."""

    container: object
    """It lies elsewhere: a module's dict, a cache, a class."""
    held: object
    """It lies in the payer's pages."""

    def __str__(self) -> str:
        return f"{_named(self.held)} in {_named(self.container)}"


def _named(value: Any) -> str:
    kind = type(value)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if isinstance(value, dict):  # of a module, as a rule
        name = value.get("__name__")
    return f"{kind.__qualname__} {name}" if isinstance(name, str) else kind.__qualname__


def leaks(payer: Payer) -> list[Leak]:
    """What of `payer` is held from elsewhere, with the container that holds it, among the objects
    that the collector knows. Takes a time like all objects of the process."""

    def found() -> list[Leak]:
        found = []
        for each in gc.get_objects():
            if not payer.owns(each):  # no tuple here: it may lie where one of the payer's has lain
                found += [Leak(each, held) for held in gc.get_referents(each) if payer.owns(held)]
        return found

    return off_call(found)
