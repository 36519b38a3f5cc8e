"""One word for one thing: public classes have names of their own, and docs/words.md holds."""

import ast
import re
from collections.abc import Mapping
from functools import cache

from tests.house.imports import FLOORS, ROOT, sources

# Floors whose public classes all have different names.
NAMED_APART = ("pinfut", "executor", "rpc")

# Names that two files of these floors still share. Nothing else may, and what is listed must.
STILL_SHARED: dict[str, set[str]] = {}

# Floors whose sources and messages say it in plainer words than these.
PLAIN = ("pinfut", "executor", "rpc")
NOT_PLAIN = re.compile(r"whoever|in the midst of|(is|are|was) told of|the mend\b", re.IGNORECASE)

PAGE = ROOT / "docs" / "words.md"
ROW = re.compile(r"^\| \*\*(?P<word>[^*]+)\*\* \| (?P<meaning>[^|]+) \| (?P<where>[^|]+) \|$")


def texts(floors: tuple[str, ...]) -> dict[str, str]:
    """File → its text, for each source file of these floors."""
    paths = [path for _, path in sources({floor: FLOORS[floor] for floor in floors})]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def shared(files: Mapping[str, str]) -> dict[str, set[str]]:
    """The names of public classes that stand in several of these files, and in which."""
    found: dict[str, set[str]] = {}
    for path, source in files.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).add(path)
    return {name: places for name, places in found.items() if len(places) > 1}


@cache
def defined(path: str) -> set[str]:
    """What a module defines: functions, classes and constants."""
    found = set()
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def rows() -> list[re.Match[str]]:
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [line for line in lines if line.startswith("| **")]
    found = [row for line in cells if (row := ROW.match(line))]
    assert len(found) == len(cells), "a row has other columns than the word, a sentence, the place"
    return found


def test_no_two_public_classes_share_a_name() -> None:
    assert shared(texts(NAMED_APART)) == STILL_SHARED


def test_a_planted_second_class_of_a_name_is_seen() -> None:
    both = "class One: ...\nclass _Mine: ..."
    assert shared({"a.py": both, "b.py": both}) == {"One": {"a.py", "b.py"}}
    assert shared({"a.py": both, "b.py": "def One(): ..."}) == {}


def test_the_words_page_cites_files_and_names_that_are_there() -> None:
    names = 0
    for row in rows():
        path, *cited = re.findall(r"`([^`]+)`", row["where"])
        assert (ROOT / path).is_file(), f"{row['word']}: {path} is not there"
        missing = set(cited) - defined(path)
        assert not missing, f"{row['word']}: {path} does not define {missing}"
        names += len(cited)
    assert names >= 60


def test_each_word_is_on_the_page_once_in_one_sentence() -> None:
    words = [row["word"] for row in rows()]
    assert len(words) == len(set(words))
    for row in rows():
        assert row["meaning"].endswith("."), row["word"]
        assert ". " not in row["meaning"], f"{row['word']}: more than one sentence"


def test_the_page_is_linked_from_the_first_one() -> None:
    assert "(words.md)" in (ROOT / "docs" / "README.md").read_text("utf-8")


def test_sources_are_in_plain_words() -> None:
    checked = texts(PLAIN)
    assert checked
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in checked.items()
        for number, line in enumerate(text.splitlines(), 1)
        if NOT_PLAIN.search(line)
    ]
    assert not found, "\n" + "\n".join(found)
