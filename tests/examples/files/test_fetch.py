"""Fetching a tree: the service, the streams and the disk agree on every file."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from examples.files import digest, streams
from examples.files.audit import Auditor
from examples.files.client import Fetch
from examples.files.fetching import fetch, observe
from examples.files.interface import LIST_COUNT, READ_MAX, Directory
from examples.files.pipelining import choose
from examples.files.tree import Tree
from pinfut import executor
from pinfut.rpc import BankError, SimKernel
from tests.examples.files.service import use


def plant(root: Path, seed: int) -> Tree:
    """A tree of some depth with files of many sizes, links in circles, and hidden things."""
    draw = random.Random(seed)
    folders = [root]
    for number in range(12):
        folder = draw.choice(folders) / f"földer {number}"
        folder.mkdir()
        folders.append(folder)
    for number in range(40):
        size = draw.choice([0, 1, 100, 4096, 5000, 3 * READ_MAX])
        (draw.choice(folders) / f"file {number}").write_bytes(draw.randbytes(size))
    for number in range(LIST_COUNT + 1):
        (folders[1] / f"many {number}").write_text(str(number))
    os.symlink("..", folders[2] / "up")
    os.symlink(root / "absent", root / "broken")
    os.mkfifo(root / "pipe")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "hidden").write_text("hidden")
    return Tree(root)


@pytest.mark.parametrize("in_flight", [1, 2, 3, 64, 500])
def test_what_is_fetched_is_what_is_on_disk(tmp_path: Path, in_flight: int) -> None:
    tree = plant(tmp_path, in_flight)
    kernel = SimKernel(in_flight)
    auditor = Auditor(kernel)
    account = auditor.open("client", 8000, 8000)
    work = fetch(kernel, tree, account, in_flight=in_flight, chunk=4000)
    found = executor.run(work, instruments=[auditor])[0].contents
    expected = digest.on_disk(tree)
    assert found.files == expected.files
    assert found.hexdigest() == expected.hexdigest()
    assert not any("hidden" in path or "up/" in path for path in found.files)
    assert account.restored
    assert account.peak_pages > 0
    assert auditor.peak_beside == 0


@pytest.mark.parametrize("in_flight", [1, 2, 7, 64])
def test_both_have_as_many_calls_in_flight_as_they_may_and_no_more(
    tmp_path: Path, in_flight: int
) -> None:
    tree = plant(tmp_path, 4)
    kernel = SimKernel()
    auditor = Auditor(kernel)
    account = auditor.open("client", 8000, 8000)
    ours = observe(kernel, tree, auditor, account, in_flight=in_flight, chunk=4000)
    theirs = asyncio.run(streams.fetch(tree, in_flight=in_flight, chunk=4000)).in_flight
    assert ours == theirs == in_flight


@pytest.mark.parametrize("in_flight", [1, 64])
def test_streams_fetch_the_same(tmp_path: Path, in_flight: int) -> None:
    tree = plant(tmp_path, 3)
    found = asyncio.run(streams.fetch(tree, in_flight=in_flight, chunk=4000))
    assert found.contents.files == digest.on_disk(tree).files
    assert found.calls > len(found.contents.files)


def test_streams_report_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    tree = Tree(tmp_path)
    entries = tree.list(tree.root, "", 1)
    (tmp_path / "file").unlink()
    monkeypatch.setattr(tree, "list", lambda *_: entries)
    with pytest.raises(streams.Refusal, match="NoSuchName"):
        asyncio.run(streams.fetch(tree, in_flight=4, chunk=100))


@pytest.mark.parametrize("pages", range(14, 60, 5))
def test_a_job_that_its_bank_cannot_pay_ends_with_that_and_gives_everything_back(
    tmp_path: Path, pages: int
) -> None:
    plant(tmp_path, 1)

    async def work(root: Directory) -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await Fetch(root, workers=64, chunk=READ_MAX).run()
        paid, other = caught.value.split(BankError)
        assert paid is not None
        assert other is None
        assert all("refill it with" in str(error) for error in paid.exceptions)

    use(tmp_path, work, pages=pages, slots=8)


def test_a_digest_knows_contents_and_names() -> None:
    def of(**files: bytes) -> str:
        contents = digest.Contents()
        for name, data in files.items():
            contents.add(name, data)
        return contents.hexdigest()

    assert of(a=b"1", b=b"2") == of(b=b"2", a=b"1")
    assert len({of(), of(a=b""), of(b=b""), of(a=b"1"), of(a=b"1", b=b""), of(a=b"", b=b"1")}) == 6


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        (["a", "b/c/d/e", "b/c/d/f", "b/c"], "b/c/d/e"),
        (["a", "b/c/d/e/f", "b/c/d/e/f/g"], "b/c/d/e/f"),
        (["a", "b/c", "b/c/d"], "b/c/d"),
        (["z", "a"], "a"),
    ],
)
def test_the_file_of_the_chain_is_four_levels_down_if_there_is_one(
    paths: list[str], chosen: str
) -> None:
    assert choose(paths) == chosen
    assert choose(reversed(paths)) == chosen
