"""The fixtures of `tests.hosts.world`, for every test here."""

from tests.hosts.world import loop, make

__all__ = ["loop", "make"]
