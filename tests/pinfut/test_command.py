"""The command `pinfut`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pinfut
from pinfut.__main__ import main


def test_laws_prints_every_law(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["laws"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{number}. {law}" for number, law in pinfut.LAWS.items()
    ]


@pytest.mark.parametrize(("value", "mode"), [("1", "on"), ("0", "off")])
def test_info_tells_versions_and_the_mode(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str, mode: str
) -> None:
    monkeypatch.setenv("PINFUT_CHECKED", value)
    assert main(["info"]) == 0
    version, python, checked = capsys.readouterr().out.splitlines()
    assert version == f"pinfut {pinfut.__version__}"
    assert python.endswith(sys.version.split()[0])
    assert f"checked mode: {mode}" in checked


def test_without_a_command_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: pinfut" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pinfut", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"pinfut {pinfut.__version__}\n"
