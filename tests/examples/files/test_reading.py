"""Reading: every range is the slice of the file, and every handle keeps to its price."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.files.client import locate, read_whole
from examples.files.interface import (
    ENTRY,
    HEAD,
    LIST_COUNT,
    LIST_MAX,
    READ_MAX,
    Directory,
    list_room,
    read_room,
)
from examples.files.server import HANDLE, TreeDirectory, TreeFile
from examples.files.tree import PATH_MAX, Tree
from pinfut.rpc import OutOfPages, RemoteError
from tests.covered import covered, require
from tests.examples.files.service import use

SIZE = 200_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    (tree / "data").write_bytes(random.Random(7).randbytes(SIZE))
    (tree / "empty").touch()
    (tree / "größe-日本").mkdir()
    (tree / "größe-日本" / "файл").write_text("привет", "utf-8")
    return tree


def test_a_read_at_any_offset_is_that_slice_of_the_file(tree: Path) -> None:
    data = (tree / "data").read_bytes()
    counts: dict[str, int] = {}
    near_the_end = st.integers(-3, 3).map(lambda by: SIZE + by)

    @given(
        st.one_of(st.integers(0, SIZE), near_the_end, st.integers(0, (1 << 62) - 1)),
        st.one_of(st.integers(0, READ_MAX), st.sampled_from([0, 1, READ_MAX])),
    )
    def property_(offset: int, size: int) -> None:
        found = use(tree, lambda root: _read(root, offset, size))
        assert found == data[offset : offset + size]
        case = "behind" if offset >= SIZE else "cut" if offset + size > SIZE else "whole"
        counts.update(covered("reads are slices", **{case: 1}))

    property_()
    require(counts, "behind", "cut", "whole")


async def _read(root: Directory, offset: int, size: int) -> bytes:
    return await root.open("data").read(offset, size)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(-1, 1), (1 << 62, 1), (1 << 63, 1), (0, -1), (0, -(10**6)), (0, READ_MAX + 1), (0, 1 << 40)],
)
def test_a_range_that_cannot_be_is_refused_by_name(tree: Path, offset: int, size: int) -> None:
    async def work(root: Directory) -> None:
        with pytest.raises(RemoteError) as caught:
            await root.open("data").read(offset, size)
        assert caught.value.kind == "BadRange"
        assert str(offset if size == 1 else size) in caught.value.detail
        assert await root.open("data").read(0, 0) == b""

    use(tree, work)


@pytest.mark.parametrize("count", [0, -1, LIST_MAX + 1, 1 << 40])
def test_a_count_that_cannot_be_is_refused_by_name(tree: Path, count: int) -> None:
    async def work(root: Directory) -> None:
        with pytest.raises(RemoteError, match="BadRange"):
            await root.list("", count)

    use(tree, work)


def test_an_empty_file_is_empty_and_has_a_stat(tree: Path) -> None:
    async def work(root: Directory) -> None:
        file = root.open("empty")
        assert await file.read(0, READ_MAX) == b""
        assert (await file.stat()).size == 0

    use(tree, work)


def test_stat_tells_size_and_time(tree: Path) -> None:
    async def work(root: Directory) -> None:
        found = await root.open("data").stat()
        assert found.size == SIZE
        assert found.changed_ns == os.stat(tree / "data").st_mtime_ns

    use(tree, work)


@pytest.mark.parametrize("chunk", [1021, READ_MAX])
def test_a_large_file_is_read_in_pieces(tree: Path, chunk: int) -> None:
    async def work(root: Directory) -> bytes:
        return await read_whole(locate(root, "data"), SIZE, chunk)

    assert use(tree, work) == (tree / "data").read_bytes()


def test_unicode_names_work_all_the_way_down(tree: Path) -> None:
    async def work(root: Directory) -> bytes:
        return await locate(root, "größe-日本/файл").read(0, 99)

    assert use(tree, work).decode() == "привет"


def test_a_file_that_vanishes_or_turns_into_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")

    async def work(root: Directory) -> None:
        file = await root.open("file")
        assert await file.read(0, 9) == b"here"
        (tmp_path / "file").unlink()
        with pytest.raises(RemoteError, match="NoSuchName"):
            await file.read(0, 9)
        (tmp_path / "file").symlink_to("/etc/passwd")
        with pytest.raises(RemoteError, match="Unreadable"):
            await file.read(0, 9)
        (tmp_path / "file").unlink()
        os.mkfifo(tmp_path / "file")
        with pytest.raises(RemoteError):
            await file.read(0, 9)

    use(tmp_path, work)


def test_a_directory_of_many_entries_comes_in_parts_without_gap_or_repeat(tmp_path: Path) -> None:
    names = sorted(f"{number:03}" + "ü" * 126 for number in range(3 * LIST_COUNT + 1))
    for name in names:
        (tmp_path / name).touch()

    async def work(root: Directory) -> list[str]:
        found: list[str] = []
        for _ in range(len(names) // LIST_COUNT + 1):
            part = await root.list(found[-1] if found else "")
            found += [entry.name for entry in part]
        assert await root.list(found[-1]) == []
        assert await root.list("", LIST_MAX) == await root.list(count=LIST_MAX)
        return found

    assert use(tmp_path, work) == names


def test_answers_fill_whole_pages() -> None:
    assert read_room(0, READ_MAX) % 4096 == 0
    assert list_room("", LIST_COUNT) <= 4 * 4096
    assert read_room(0, -5) == HEAD
    assert read_room(0, 1 << 40) == read_room(0, READ_MAX)
    assert list_room("", 1 << 40) == HEAD + LIST_MAX * ENTRY


@pytest.mark.parametrize("letter", ["a", "é", "日", "🐍"])
def test_what_a_handle_holds_is_at_most_what_its_client_pays(tmp_path: Path, letter: str) -> None:
    tree = Tree(tmp_path)
    longest = "a" + letter
    while sys.getsizeof(longest + letter) <= PATH_MAX:
        longest += letter
    for handle in (TreeFile(tree, longest), TreeDirectory(tree, longest)):
        held = sys.getsizeof(handle) + sys.getsizeof(vars(handle)) + sys.getsizeof(longest)
        assert held <= HANDLE
        assert type(handle)._pinfut_charge == HANDLE


def test_a_bank_that_is_too_small_refuses_one_call_and_the_next_one_works(tree: Path) -> None:
    async def work(root: Directory) -> bytes:
        with pytest.raises(OutOfPages, match=r"bank 'client' has .* refill it with"):
            await root.open("data").read(0, READ_MAX)
        return await root.open("data").read(0, 100)

    assert use(tree, work, pages=24, slots=8) == (tree / "data").read_bytes()[:100]
