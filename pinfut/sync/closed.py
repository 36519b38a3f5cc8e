"""Closed: what the other side of a closed channel gets."""


class Closed(Exception):
    """The other side is gone: no value will come, or nobody would take one."""
