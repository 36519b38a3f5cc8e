"""A copy of the context variables for what is run later, and with them who pays for it.

A future that calls a function of somebody else's calls it in such a copy."""

from __future__ import annotations

__all__ = ["copy_context"]

try:
    from pinfut._payers import copy_context
except ImportError:  # not built: nobody pays
    from contextvars import copy_context
