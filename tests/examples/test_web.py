"""The web application over the file service, in its own run, and asked in each host."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from examples.web import FOLDER, PAGES, PIECE, app, client, lifespan
from tests.hosts.each_host import Host, host
from tests.house.imports import ROOT

__all__ = ["host"]


def test_it_stops_the_greedy_one_and_serves_the_others() -> None:
    # Not in checked mode, which tells of steps that take long, as each does on a busy machine.
    environment = {name: value for name, value in os.environ.items() if name != "PINFUT_CHECKED"}
    done = subprocess.run(
        [sys.executable, "-m", "examples.web"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    greedy, why, *readers, paid = done.stdout.splitlines()
    assert greedy.startswith("greedy: ")
    assert 20 < int(greedy.split()[1]) < 1_000
    assert greedy.endswith("then 507:")
    assert re.search(rf"bank 'greedy' has \d of {PAGES} pages left", why)
    assert [line.split(":")[0] for line in readers] == ["reader", "other reader"]
    assert all(int(line.split(": ")[1].split()[0]) >= 20 for line in readers)
    assert paid == "pages paid in the end: 0"
    assert done.stderr == ""


def test_its_handlers_call_the_service_in_each_host(host: Host) -> None:
    whole = (FOLDER / "hello.py").read_bytes()

    async def main() -> list[int]:
        async with lifespan(app), client("greedy") as greedy, client("reader") as reader:
            codes = [(await greedy.post("/hello.py")).status_code for _ in range(150)]
            assert set(codes) == {200, 507}
            answer = await greedy.get("/hello.py")
            assert answer.status_code == 507
            assert "refill it" in answer.text
            pieces = [
                (await reader.get(f"/hello.py?offset={offset}&size={PIECE}")).content
                for offset in range(0, len(whole), PIECE)
            ]
            assert b"".join(pieces) == whole
            missing = await reader.get("/nothing.py")
            assert missing.status_code == 404
            assert "nothing.py" in missing.text
            for wrong in ("offset=ten", "offset=-1", "size=1e3", f"size={10**30}"):
                assert (await reader.get(f"/hello.py?{wrong}")).status_code == 400
            banks = [one.bank for one in app.state.files.visitors.values()]
            assert [bank.pages_used > 0 for bank in banks] == [True, True]
        return [bank.pages_used for bank in banks]

    assert host.run(main) == [0, 0]
