"""The frames of the protocol: what stands in each, byte by byte.

All numbers are little-endian. Every frame begins with its length in 32 bits, which counts the whole
frame, and its kind in 8. A question is a call seen from the side that makes it, an answer the same
call seen from the other; both name it by the question's id x, and each side counts its own. An
export is an object seen from the side that has it, an import the same object from the other.

The life of a question::

    caller   Call x ─────────▶            the slot x mod N is taken on both sides
    callee             ◀───── Return x    exactly one, whatever happens
    caller   Finish x ───────▶            unless the Return says NO_FINISH; only now may
                                          the caller use the slot again

Between Call and Finish the caller may use "the result of x" as a target. Cancel x asks
the callee to stop; the Return still comes, and acknowledges."""

from __future__ import annotations

from struct import Struct
from typing import Final

from pinfut.rpc.contract import RECEIVER, RECEIVER_ANSWER, SENDER, Cap

__all__ = ["RECEIVER", "RECEIVER_ANSWER", "SENDER", "Cap"]

CALL: Final = 1
"""A question. `method`: its number in the interface that the target was handed out as. `flags`:
ON_ANSWER when `target` is a question's id and not an export's; PIPELINE when the caller will
send Finish. `room`: how long the Return may be; `place`: where it is to be written. With
ON_ANSWER the id of the interface follows that the caller expects of that answer. Then the
arguments. The `caps` capabilities among them are no bytes of the frame: the kernel hands them over
beside it (`pinfut.rpc.contract.Endpoint.hand_over`)."""

RETURN: Final = 2
"""The end of a question. `flags`: ERROR when the payload is an error (code, type,
message), CANCELLED when it ended by Cancel; NO_FINISH when the callee has forgotten it. Its
`caps` capabilities go as those of a Call do."""

FINISH: Final = 3
"""The caller has the Return of x. `flags`: RELEASE when it wants none of the capabilities
in it, which are then released as if by Release."""

RELEASE: Final = 4
"""`count` of the times that the receiver handed export `x` out are over."""

CANCEL: Final = 5
"""The caller wants no answer to x any more."""

BOOTSTRAP: Final = 6
"""A question for the root object. `target`: the id of the interface that is expected."""

PROVIDE: Final = 7
"""A question: keep `target` for the one who accepts it over a route. With ON_ANSWER as in Call."""

ACCEPT: Final = 8
"""A question, over a route: give what is kept under a number. `target` is 0."""

TAKE: Final = 9
"""A question: accept over a route what is kept there, and hand it out. `target` is 0."""

DISEMBARGO: Final = 10
"""What was called on the answer to x was for an object of the sender's own. It is sent back with
LOOPBACK behind all that was passed on to that, and then nothing can overtake it any more. It may
be kept back: the Returns of these calls say the same, later. With EXPORT the same of the sender's
import x, of which a Resolve came; that is never kept back."""

RESOLVE: Final = 11
"""What the sender has handed out as `x` is the receiver's export `target`."""

ON_ANSWER: Final = 1
PIPELINE: Final = 2

ERROR: Final = 1
CANCELLED: Final = 2
NO_FINISH: Final = 4
RETURN_ARGS: Final = 8
"""In a Return with ERROR: the capabilities in the arguments were not taken; they are the
caller's as before (`releaseParamCaps` in Cap'n Proto)."""

RELEASE_CAPS: Final = 1
LOOPBACK: Final = 1
EXPORT: Final = 2

CALL_HEAD: Final = Struct("<IBBHQQIIH")
"""length, kind, flags, method, x, target, room, place, caps"""
RETURN_HEAD: Final = Struct("<IBBHQ")
"""length, kind, flags, caps, x"""
PLAIN_CALL: Final = Struct("<IIQQIIH")
"""The same bytes as CALL_HEAD, with kind, flags and method as one number: what most calls
are is seen at one look. The method stands in the upper 16 bits."""
PLAIN_RETURN: Final = Struct("<IIQ")
"""The same bytes as RETURN_HEAD, with kind, flags and caps as one number."""
PLAIN: Final = RETURN | NO_FINISH << 8
"""That number, for data without capabilities to a call that nobody pipelines on."""

EXPECTED: Final = Struct("<Q")
"""Behind the head of a question with ON_ANSWER: the id of an interface"""

SHORT: Final = Struct("<IBBHQ")
"""length, kind, flags, unused, x: Finish, Cancel and Disembargo"""
RELEASE_FRAME: Final = Struct("<IBBHQI")
"""length, kind, unused, unused, x, count"""
RESOLVE_FRAME: Final = Struct("<IBBHQQ")
"""length, kind, unused, unused, x, target"""


def longest_call(arguments: int) -> int:
    """Bytes of the longest call with so many bytes of arguments."""
    return CALL_HEAD.size + EXPECTED.size + arguments
