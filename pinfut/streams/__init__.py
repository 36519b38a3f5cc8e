"""Streams: many values, one after the other (`pinfut.streams`)."""

from pinfut.streams.combining import buffer_unordered, buffered, merge
from pinfut.streams.sources import from_async_generator, from_iterable, from_receiver
from pinfut.streams.stream import END, End, Full, PollNext, Stream, StreamBase
from pinfut.streams.unordered import FuturesOrdered, FuturesUnordered

__all__ = [
    "END", "End", "Full", "FuturesOrdered", "FuturesUnordered", "PollNext", "Stream", "StreamBase",
    "buffer_unordered", "buffered", "from_async_generator", "from_iterable", "from_receiver",
    "merge",
]  # fmt: skip
