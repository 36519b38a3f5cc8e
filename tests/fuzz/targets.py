"""The decoders that read a peer's bytes, each with all that has to hold whatever comes."""

from __future__ import annotations

from tests.fuzz.harness import Target
from tests.fuzz.on_answers import fuzz_answers
from tests.fuzz.on_frames import fuzz_frames
from tests.fuzz.on_payloads import fuzz_payloads
from tests.fuzz.on_rings import fuzz_ring
from tests.fuzz.on_session import fuzz_session

TARGETS = {
    "frames": Target(fuzz_frames, 64 << 10, 64),
    "ring": Target(fuzz_ring, 32 << 10, 64),
    "payloads": Target(fuzz_payloads, 32 << 10, 160),
    "answers": Target(fuzz_answers, 256 << 10, 160),
    "session": Target(fuzz_session, 4 << 20, 160),
}
