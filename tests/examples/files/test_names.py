"""Names that are tricks: each is refused with its own error, and none leads out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.files.interface import Directory
from examples.files.tree import PATH_MAX, Tree
from pinfut.rpc import RemoteError
from tests.covered import covered, require
from tests.examples.files.service import use


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with a way out of it at every corner; `secret` lies beside it."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("out of the tree")
    (outside / "tree-2").mkdir()
    tree = outside / "tree"
    (tree / "inner" / "deeper").mkdir(parents=True)
    (tree / "inner" / "text").write_text("inner text")
    (tree / "top").write_text("top text")
    (tree / "two words\nand a line").write_text("odd")
    (tree / "über-ñ-日本語-🐍").write_text("unicode")
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("hidden")
    os.mkfifo(tree / "pipe")
    links = {
        "to-secret": "../secret",
        "to-root": "/",
        "to-sibling": "../tree-2",
        "to-nothing-outside": "/nowhere/at/all",
        "to-nothing": "not-there",
        "to-hidden": ".git",
        "to-hidden-file": ".git/config",
        "to-text": "inner/text",
        "to-deeper": "inner/deeper",
        "to-itself": "to-itself",
        "to-tree": ".",
        "out-and-in": "../tree/top",
        "to-link-out": "to-secret",
        "through-link-out": "to-root/etc",
        "to-pipe": "pipe",
        "inner/up": "..",
        "inner/up-up": "../..",
    }
    for name, target in links.items():
        os.symlink(target, tree / name)
    return tree


def _refusal(tree: Path, name: str, call: str) -> RemoteError:
    async def work(root: Directory) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            await getattr(root, call)(name)
        return caught.value

    return use(tree, work)


@pytest.mark.parametrize("call", ["open", "enter"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "BadName"),
        (".", "BadName"),
        ("..", "BadName"),
        ("/", "BadName"),
        ("/etc", "BadName"),
        ("/etc/passwd", "BadName"),
        ("inner/text", "BadName"),
        ("inner/", "BadName"),
        ("./top", "BadName"),
        ("../secret", "BadName"),
        ("inner/../../secret", "BadName"),
        ("top\0", "BadName"),
        ("\0", "BadName"),
        ("absent", "NoSuchName"),
        ("...", "NoSuchName"),
        ("..\\secret", "NoSuchName"),
        ("~", "NoSuchName"),
        ("a" * 255, "NoSuchName"),
        ("a" * 300, "Unreadable"),
        ("to-secret", "OutsideTree"),
        ("to-root", "OutsideTree"),
        ("to-sibling", "OutsideTree"),
        ("to-nothing-outside", "OutsideTree"),
        ("to-link-out", "OutsideTree"),
        ("through-link-out", "OutsideTree"),
        ("to-nothing", "NoSuchName"),
        ("to-itself", "NoSuchName"),
        (".git", "NoSuchName"),
        ("to-hidden", "NoSuchName"),
        ("to-hidden-file", "NoSuchName"),
        ("pipe", "WrongKind"),
        ("to-pipe", "WrongKind"),
    ],
)
def test_a_trick_is_refused_by_its_own_error_that_tells_nothing_of_the_outside(
    tree: Path, name: str, kind: str, call: str
) -> None:
    error = _refusal(tree, name, call)
    assert error.kind == kind
    assert error.detail
    assert str(tree.parent) not in error.detail


def test_a_file_is_not_entered_and_a_directory_not_opened(tree: Path) -> None:
    assert "open it" in _refusal(tree, "top", "enter").detail
    assert "enter it" in _refusal(tree, "inner", "open").detail
    assert _refusal(tree, "to-text", "enter").kind == "WrongKind"
    assert _refusal(tree, "to-deeper", "open").kind == "WrongKind"


def test_a_link_that_stays_in_the_tree_is_followed(tree: Path) -> None:
    async def work(root: Directory) -> list[bytes]:
        inner = root.enter("to-tree").enter("inner")
        return [
            await root.open("to-text").read(0, 99),
            await root.open("out-and-in").read(0, 99),
            await inner.enter("up").open("top").read(0, 99),
        ]

    assert use(tree, work) == [b"inner text", b"top text", b"top text"]


def test_a_link_further_down_does_not_lead_out_either(tree: Path) -> None:
    async def work(root: Directory) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            await root.enter("inner").enter("up-up")
        return caught.value

    assert use(tree, work).kind == "OutsideTree"


def test_an_error_in_the_middle_of_a_chain_is_that_of_all_that_was_called_behind_it(
    tree: Path,
) -> None:
    async def work(root: Directory) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            await root.enter("inner").enter("..").open("top").read(0, 9)
        return caught.value

    assert use(tree, work).kind == "BadName"


def test_what_is_hidden_is_a_parameter(tree: Path) -> None:
    async def work(root: Directory) -> tuple[bytes, list[str]]:
        with pytest.raises(RemoteError, match="NoSuchName"):
            await root.open("top")
        config = await root.enter(".git").open("config").read(0, 99)
        return config, [entry.name for entry in await root.list()]

    config, names = use(tree, work, hidden={"top"})
    assert config == b"hidden"
    assert "top" not in names
    assert ".git" in names


def test_a_list_is_sorted_tells_kinds_and_hides_what_is_hidden(tree: Path) -> None:
    async def work(root: Directory) -> dict[str, tuple[str, int]]:
        entries = await root.list()
        assert [e.name for e in entries] == sorted(e.name for e in entries)
        return {e.name: (e.kind, e.size) for e in entries}

    found = use(tree, work)
    assert ".git" not in found
    assert found["top"] == ("file", 8)
    assert found["inner"] == ("directory", 0)
    assert found["to-text"] == found["to-secret"] == ("link", 0)
    assert found["pipe"] == ("other", 0)
    assert found["über-ñ-日本語-🐍"] == ("file", 7)


def test_names_that_are_no_text_are_hidden_and_the_rest_is_there(tmp_path: Path) -> None:
    (tmp_path / "good").write_text("x")
    with open(os.path.join(os.fsencode(tmp_path), b"bad\xff"), "w"):
        pass

    async def work(root: Directory) -> list[str]:
        return [entry.name for entry in await root.list()]

    assert use(tmp_path, work) == ["good"]


def test_a_path_that_is_longer_than_a_handle_holds_is_refused(tmp_path: Path) -> None:
    deep = tmp_path
    while sys.getsizeof(str(deep)) <= PATH_MAX:
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    names = deep.relative_to(tmp_path).parts

    async def work(root: Directory) -> None:
        for name in names[:-1]:
            root = await root.enter(name)
        with pytest.raises(RemoteError, match="PathTooLong"):
            await root.enter(names[-1])

    use(tmp_path, work)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_the_system_refuses_is_an_error_of_its_own(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("x")
    closed.chmod(0)
    assert Tree(tmp_path).file(str(tmp_path), "closed")

    async def work(root: Directory) -> None:
        with pytest.raises(RemoteError, match="Unreadable"):
            await root.open("closed").read(0, 1)

    use(tmp_path, work)


_CORNERS = st.sampled_from(
    ["..", ".", "/", "\\", "\0", "top", "inner", "to-secret", "to-root", "secret", "text", "é"]
)
_NAMES = st.one_of(_CORNERS, _CORNERS, st.lists(_CORNERS, max_size=3).map("".join), st.text())


def test_no_chain_of_names_whatsoever_reads_anything_outside(tree: Path) -> None:
    counts: dict[str, int] = {}

    @given(st.lists(_NAMES, max_size=4))
    def property_(names: list[str]) -> None:
        refused, read = use(tree, lambda root: _try_all(root, names))
        counts.update(covered("chains of odd names stay inside", refused=refused, read=read))

    property_()
    require(counts, "refused", "read")


async def _try_all(root: Directory, names: list[str]) -> tuple[int, int]:
    """Open and enter each name in what was entered before; refusals, and files read."""
    refused = read = 0
    for name in filter(_sendable, names):
        try:
            assert await root.open(name).read(0, 99) in (b"inner text", b"top text")
            read += 1
        except RemoteError:
            refused += 1
        try:
            root = await root.enter(name)
        except RemoteError:
            refused += 1
    return refused, read


def _sendable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
