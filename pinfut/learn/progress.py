"""progress: what a learner has done, kept in a file: programs, tries, what is solved."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

MOST_LESSONS: Final = 500
MOST_CODE: Final = 200_000
"""Characters of a program that are kept."""


def default_file() -> Path:
    """Where progress is kept unless the learner says otherwise."""
    home = Path.home()
    if sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        state = os.environ.get("XDG_STATE_HOME", "")
        folder = Path(state) if os.path.isabs(state) else home / ".local" / "state"
    return folder / "pinfut" / "learn.json"


class Progress:
    """The progress in one file. A file that cannot be read is put aside, never overwritten."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.records: dict[str, dict[str, Any]] = {}
        try:
            found = json.loads(file.read_text("utf-8"))
            self.records = {str(name): _clean(record) for name, record in found.items()}
        except FileNotFoundError:
            pass
        except (ValueError, AttributeError, TypeError):
            file.replace(file.with_name(file.name + ".unreadable"))

    def save(self, name: str, record: object) -> None:
        """Keep the record of one lesson. Raises ValueError for what is none, and OSError."""
        if name not in self.records and len(self.records) >= MOST_LESSONS:
            raise ValueError(f"progress is kept of {MOST_LESSONS} lessons at most")
        records = {**self.records, name: _clean(record)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # The old file or the new one, whenever it is interrupted.
        handle, fresh = tempfile.mkstemp(dir=self.file.parent, prefix=self.file.name)
        try:
            with open(handle, "w", encoding="utf-8") as out:
                json.dump(records, out)
            os.replace(fresh, self.file)
        except BaseException:
            os.unlink(fresh)
            raise
        self.records = records


def _clean(record: object) -> dict[str, Any]:
    """A record with its four fields and no other. Raises ValueError."""
    if not isinstance(record, dict):
        raise ValueError("the progress of a lesson is an object")
    code = record.get("code")
    if code is not None and (not isinstance(code, str) or len(code) > MOST_CODE):
        raise ValueError(f"a program is text of {MOST_CODE:,} characters at most")
    return {
        "code": code,
        "tries": min(int(record.get("tries", 0)), 1_000_000),
        "solved": bool(record.get("solved", False)),
        "hints": min(int(record.get("hints", 0)), 1_000),
    }
