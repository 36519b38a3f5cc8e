"""Trace: a recorded run as a value and as a file, in the format of docs/trace.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

VERSION: Final = 1

MOST_BYTES: Final = 1 << 28
"""Bytes of a file that are read; a longer one is refused."""


class TraceError(ValueError):
    """A file is no trace that this version reads. The message says why."""


@final
@dataclass(slots=True)
class Trace:
    """What was recorded of one run. Both parts hold plain JSON values."""

    header: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many older events were dropped."""
        return int(self.header.get("lost", 0))

    @property
    def tasks(self) -> dict[int, str]:
        """The names of the tasks that live at the first event, if older ones were dropped."""
        return {int(number): name for number, name in self.header.get("tasks", {}).items()}

    def dumps(self) -> str:
        """The file: a line for the header, and one for each event."""
        header = {"pinfut-trace": VERSION, **self.header}
        return "".join(_line(value) for value in (header, *self.events))

    @classmethod
    def loads(cls, text: str) -> Trace:
        """What `dumps` gave. Raises TraceError."""
        values = []
        # The only line ends in JSON are those between the values.
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line, parse_constant=_refuse)
            except (ValueError, RecursionError):
                raise TraceError(f"line {number} is not JSON: no trace, or a broken one") from None
            if not isinstance(value, dict):
                raise TraceError(f"line {number} is no JSON object: no trace, or a broken one")
            values.append(value)
        if not values or "pinfut-trace" not in values[0]:
            raise TraceError("this is no trace: make one with `pinfut record program.py -o t.json`")
        header, *events = values
        version = header.pop("pinfut-trace")
        if version != VERSION:
            raise TraceError(
                f"this trace has version {version}, and this pinfut reads {VERSION}: record it "
                "again, or take the pinfut that wrote it"
            )
        for event in events:
            if not isinstance(event.get("k"), str) or not isinstance(event.get("t"), int | float):
                raise TraceError(f"an event has no kind or no time: {_line(event)[:80]}")
        return cls(header, events)

    def save(self, path: str | Path) -> None:
        """Write the file. Raises OSError."""
        Path(path).write_text(self.dumps(), "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a file. Raises OSError and TraceError."""
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise TraceError(f"{path} has more than {MOST_BYTES >> 20} MB; record a shorter run")
        try:
            return cls.loads(data.decode("utf-8"))
        except UnicodeDecodeError:
            raise TraceError(f"{path} is not UTF-8: no trace, or a broken one") from None


def _line(value: dict[str, Any]) -> str:
    # In ASCII: what a program prints need not be text that UTF-8 can hold.
    return json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
