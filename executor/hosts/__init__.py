"""Doors to asyncio, uvloop and trio: the executor as their loop, and as a guest in theirs."""
