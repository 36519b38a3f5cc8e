"""Comparisons with other runtimes, interleaved, one process per system (see README.md)."""
