"""The kernels that are held to `pinfut.rpc.contract`: one more is one more line of `KERNELS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from pinfut.rpc.contract import Kernel
from pinfut.rpc.kernel.sim.kernel import SimKernel
from tests.kernels.copying import AT_ONCE, CopyKernel

KERNELS: Final[dict[str, Callable[[], Kernel]]] = {
    "sim": SimKernel,
    "sim, at once": lambda: SimKernel(arrival="at once"),
    "sim, later": lambda: SimKernel(3, arrival="later"),
    "copying": CopyKernel,
    "copying, at once": lambda: CopyKernel(delays=(AT_ONCE,)),
    "copying, late": lambda: CopyKernel(3, delays=(0, 1, 2, 5)),
}


@pytest.fixture(params=list(KERNELS))
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """A kernel of each kind."""
    return KERNELS[request.param]()
