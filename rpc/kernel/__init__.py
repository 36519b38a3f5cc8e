"""Kernels: what stands behind `pinfut.rpc.contract`."""
