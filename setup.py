"""Builds the editor of `pinfut learn` into the wheel, where there is node. All else is in
pyproject.toml."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

EDITOR = Path(__file__).parent / "pinfut" / "learn" / "editor" / "__init__.py"


class BuildWithEditor(build_py):
    """Makes the bundle first, unless it is there."""

    def run(self) -> None:
        editor = runpy.run_path(str(EDITOR))
        if not editor["is_current"]() and not self.editable_mode:
            try:
                editor["build"]()
            except editor["CannotBuild"] as error:
                print(
                    f"no editor for `pinfut learn`, which has a text area: {error}", file=sys.stderr
                )
        super().run()


setup(cmdclass={"build_py": BuildWithEditor})
