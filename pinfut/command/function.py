"""function: an unboxed function, or anything, found by the name that a command line gives it."""

from __future__ import annotations

import sys
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

from pinfut.unboxed.decorate import BOXED
from pinfut.unboxed.unit import Unit, unit_of


class Found(NamedTuple):
    """The function, what stands behind it, and the class that it is a method of."""

    function: Callable[..., Any]
    unit: Unit
    owner: type | None


def add_function(parser: ArgumentParser) -> None:
    """Add the name of a function."""
    text = "module:function, or module:Class.method; modules of the folder one is in are found too"
    parser.add_argument("function", metavar="module:function", help=text)


def load(text: str, what: str = "function") -> tuple[Any, str]:
    """Import a module, for what is named in it. Raises ArgumentError."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise ArgumentError(None, f"name the {what} as module:{what}, not {text!r}")
    sys.path.insert(0, "")  # the script of an installed command has its own folder there
    try:
        return import_module(module), name
    except Exception as error:  # whatever the module's own code raises
        reason = f"importing {module} raised {type(error).__name__}: {error}"
        message = f"{reason}; be in its folder, or name that in PYTHONPATH"
        raise ArgumentError(None, message) from error


def find(text: str) -> Found:
    """Import the module, and look the function up. Raises ArgumentError if that leads to none."""
    if BOXED:
        raise ArgumentError(None, "PINFUT_BOXED is set, so nothing is unboxed; unset it")
    space, name = load(text)
    try:
        function = attrgetter(name)(space)
        owner = attrgetter(name.rpartition(".")[0])(space) if "." in name else None
        return Found(function, unit_of(function), owner if isinstance(owner, type) else None)
    except AttributeError as error:
        raise ArgumentError(None, f"{error}; name a function that is there") from None
    except TypeError as error:
        raise ArgumentError(None, str(error)) from None
