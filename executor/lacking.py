"""lacking: the one error for what some systems do not have, where it is used, never at import."""

from __future__ import annotations

import errno


def lacking(what: str, needs: str, instead: str) -> OSError:
    """The error to raise (ENOSYS): `what` cannot work here for want of `needs`; do `instead`."""
    return OSError(
        errno.ENOSYS, f"{what} needs {needs}, which this system does not have; {instead}"
    )
