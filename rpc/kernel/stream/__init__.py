"""Kernels over streams: Unix sockets, TCP, TLS."""

from pinfut.rpc.kernel.stream.kernel import (
    ANYONE,
    StreamKernel,
    Tcp,
    Unix,
    identity_of,
    tls_context,
)

__all__ = ["ANYONE", "StreamKernel", "Tcp", "Unix", "identity_of", "tls_context"]
