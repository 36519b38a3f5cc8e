"""lacking: the one error for what some systems do not have.

pinfut imports everywhere that Python does. What stands on a system call that is not there says
so where it is used, and never at import.
"""

from __future__ import annotations

import errno


def lacking(what: str, needs: str, instead: str) -> OSError:
    """The error to raise (ENOSYS): `what` cannot work here for want of `needs`; do `instead`."""
    return OSError(
        errno.ENOSYS, f"{what} needs {needs}, which this system does not have; {instead}"
    )
