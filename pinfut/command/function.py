"""function: an unboxed function, found by the name that a command line gives it."""

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


def find(text: str) -> Found:
    """Import the module, and look the function up. Raises ArgumentError if that leads to none."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise ArgumentError(None, f"name the function as module:function, not {text!r}")
    if BOXED:
        raise ArgumentError(None, "PINFUT_BOXED is set, so nothing is unboxed; unset it")
    sys.path.insert(0, "")  # the script of an installed command has its own folder there
    try:
        space = import_module(module)
    except Exception as error:  # whatever the module's own code raises
        reason = f"importing {module} raised {type(error).__name__}: {error}"
        message = f"{reason}; be in its folder, or name that in PYTHONPATH"
        raise ArgumentError(None, message) from error
    try:
        function = attrgetter(name)(space)
        owner = attrgetter(name.rpartition(".")[0])(space) if "." in name else None
        return Found(function, unit_of(function), owner if isinstance(owner, type) else None)
    except AttributeError as error:
        raise ArgumentError(None, f"{error}; name a function that is there") from None
    except TypeError as error:
        raise ArgumentError(None, str(error)) from None
