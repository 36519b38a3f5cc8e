"""``pinfut info``."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import pytest

import pinfut
from pinfut.command import info
from pinfut.command.main import main


@pytest.mark.parametrize(("value", "mode"), [("1", "on"), ("0", "off")])
def test_it_tells_versions_and_settings_each_with_what_it_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str, mode: str
) -> None:
    monkeypatch.setenv("PINFUT_CHECKED", value)
    assert main(["info", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    told = {row["name"]: row["value"] for row in rows}
    assert all(row["meaning"] for row in rows)
    assert told["pinfut"] == pinfut.__version__
    assert told[platform.python_implementation()] == platform.python_version()
    assert told["msgspec"] == version("msgspec")
    assert told["checked mode"] == mode
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == [row["meaning"].split()[-1] for row in rows]
    assert all(row["value"] in line for row, line in zip(rows, lines, strict=True))


@pytest.mark.parametrize(
    ("value", "told"), [("portable", "portable"), ("epoll", "epoll"), ("nonsense", "refused")]
)
def test_it_tells_the_poller_that_an_executor_would_get(
    monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    monkeypatch.setenv("PINFUT_POLLER", value)
    assert ("poller", told) in [fact[:2] for fact in info.facts()]


def test_what_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "PARTS", {"pinfut-has-no-such-part": "optional: nothing"})
    assert info.facts()[-1] == ("pinfut-has-no-such-part", "absent", "optional: nothing")


def test_it_tells_whether_payers_were_built_and_if_not_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for reason, told in [
        (None, ("built", info.PAYERS)),
        ("no compiler", ("absent", "no compiler")),
    ]:
        monkeypatch.setattr(info, "why_not", lambda reason=reason: reason)
        assert ("payers", *told) in info.facts()


def test_it_tells_whether_functions_are_unboxed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "BOXED", True)
    assert ("unboxing", "off") in [fact[:2] for fact in info.facts()]
    monkeypatch.setattr(info, "BOXED", False)
    assert ("unboxing", "on") in [fact[:2] for fact in info.facts()]
