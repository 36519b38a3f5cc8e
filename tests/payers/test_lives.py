"""Where payers cannot be, what is left of one, and forks."""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
import tracemalloc
from typing import Any

import pytest

from pinfut import payers
from pinfut.payers import PAGE, Payer, PayersUnavailable
from pinfut.unboxed import pool, unboxed
from tests.payers.apart import apart, audit, audited, python
from tests.payers.crowd import Parked

CACHE: dict[str, object] = {}

needs_payers = pytest.mark.skipif(payers.why_not() is not None, reason=str(payers.why_not()))


@apart
def test_pages_live_until_their_last_block_though_the_payer_is_forgotten() -> None:
    before = payers.stats()["used"]
    p = Payer(1_000)
    held = p.soft_call(lambda: [bytes(3_000) for _ in range(100)])
    del p
    assert payers.stats()["used"] >= before + 70
    assert held[-1] == bytes(3_000)
    assert payers.owner(held[-1]) is None, "nobody's any more"
    del held
    gc.collect()
    assert payers.stats()["used"] == before


@apart
def test_the_servers_own_payer_adopts_what_a_client_left_and_pays_until_it_goes() -> None:
    server, client = Payer(10_000), Payer(1_000)
    held = client.soft_call(lambda: [bytes(3_000) for _ in range(100)])
    client_pages = server.adopt(client)
    assert client_pages == client.pages >= 70
    assert (server.adopted, server.pages) == (client_pages, client_pages)
    assert payers.owner(held[0]) is server
    for heir, other in [(server, client), (client, server)]:
        with pytest.raises(RuntimeError, match="adopted"):
            heir.adopt(other)
    later = client.soft_call(bytes, 50_000)
    assert payers.owner(later) is server, "what it would pay for, its heir pays"
    assert client.pages == client_pages
    del later
    with pytest.raises(RuntimeError):
        server.adopt(server)
    audit(client)
    audit(server)
    del client, heir, other
    block = held.pop()
    block += bytes(9_000)  # nobody is current
    del held[:50]
    assert 0 < server.adopted < client_pages
    audit(server)
    del held, block
    gc.collect()
    assert (server.adopted, server.pages) == (0, 0)


@apart
def test_what_leaked_is_listed_with_the_container_that_holds_it() -> None:
    class Token:
        pass

    def handler() -> None:
        CACHE["last"] = Token()
        local = Token()
        assert local

    p = Payer(1_000)
    p.firm_call(handler)
    gc.collect()
    found = [leak for leak in payers.leaks(p) if isinstance(leak.held, Token)]
    assert len(found) == 1
    assert found[0].container is CACHE
    assert str(found[0]).endswith("Token in dict")
    del found
    CACHE.clear()
    gc.collect()
    assert not [leak for leak in payers.leaks(p) if isinstance(leak.held, Token)]


@apart
def test_all_that_leaked_is_found_while_finalizers_run() -> None:
    collected = 0

    class Garbage:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            nonlocal collected
            collected += 1
            Garbage()

    p = Payer(1_000)
    CACHE["many"] = many = [p.soft_call(bytes, 100) for _ in range(1_000)]
    Garbage()
    gc.set_threshold(1)
    before = collected
    found = payers.leaks(p)
    gc.set_threshold(700)
    assert sum(leak.container is many for leak in found) == 1_000
    assert {id(leak.held) for leak in found} >= set(map(id, many))
    assert collected > before
    CACHE.clear()


@apart
def test_what_is_left_of_a_client_goes_on_at_its_heirs_expense_whatever_its_limit_was() -> None:
    async def goes_on() -> str:
        await Parked()
        return "went on"

    p, server = Payer(20), Payer(10_000)
    held = p.soft_call(bytearray, 50 * PAGE)
    assert p.settle() > 0
    server.adopt(p)
    coro = goes_on()
    p.send(coro, None)
    with pytest.raises(StopIteration, match="went on"):
        p.send(coro, None)
    assert (p.raised, p.settle(), len(held)) == (0, 0, 50 * PAGE)


@unboxed
async def _twice(n: int) -> int:
    return 2 * n


@unboxed
async def _fails() -> None:
    raise ValueError


def _end(frame: Any) -> None:
    try:
        frame.send(None)
    except (StopIteration, ValueError):
        pass


@apart
def test_a_pool_of_frames_is_of_one_payer() -> None:
    first, second = Payer(1_000), Payer(1_000)
    frames = first.soft_call(pool, _twice)
    for payer, kept in ((second, 0), (first, 1), (second, 1)):
        payer.soft_call(lambda: _end(frames.begin(1)))
        assert len(frames) == kept
    failing = pool(_fails)  # nobody's, and each call needs a new generator
    _end(failing.begin())
    assert len(failing) == 1
    second.soft_call(lambda: _end(failing.begin()))
    assert len(failing) == 0
    assert failing.taken == frames.taken == 0
    pages = second.pages
    for _ in range(100):
        second.soft_call(lambda: _end(frames.begin(1)))
    assert second.pages <= pages


@needs_payers
def test_payers_are_refused_where_tracing_began_before_and_bear_it_afterwards() -> None:
    done = python("-c", REFUSED_TRACING, str(audited()))
    assert done.returncode == 0, done.stderr
    assert "tracemalloc was started before" in done.stdout


REFUSED_TRACING = """
import sys, tracemalloc
from tests.payers import tooled
tooled.load(sys.argv[1])
from pinfut import payers
from tests.payers.apart import audit
tracemalloc.start()
print(payers.why_not())
try:
    payers.install()
except payers.PayersUnavailable:
    tracemalloc.stop()
    payers.install()
else:
    raise AssertionError("installed below tracemalloc")
assert payers.installed() and payers.why_not() is None
p = payers.Payer(1_000)
before = p.soft_call(bytearray, 100_000)
tracemalloc.start()
during = p.soft_call(bytearray, 1_000_000)
assert tracemalloc.get_traced_memory()[0] > 1_000_000
assert payers.owner(during) is p
tracemalloc.stop()
after = p.soft_call(bytearray, 100_000)
del before, during, after
audit(p)
"""


@needs_payers
@pytest.mark.skipif(sys.version_info < (3, 12), reason="every interpreter has the one lock")
def test_an_interpreter_with_a_lock_of_its_own_gets_no_payers() -> None:
    done = python("-W", "ignore", "-c", OTHER_INTERPRETER)
    assert done.returncode == 0, done.stderr
    assert "refused inside" in done.stdout


OTHER_INTERPRETER = """
import sys
from pinfut import payers
payers.install()
p = payers.Payer(1_000)
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    one = interpreters.create("isolated")
else:
    import _xxsubinterpreters as interpreters
    one = interpreters.create(isolated=True)
p.soft_call(interpreters.run_string, one, '''
try:
    import pinfut._payers
except ImportError as error:
    print("refused inside", error, flush=True)
held = [bytearray(n) for n in range(10_000)]
del held
''')
interpreters.destroy(one)
audit(p)
"""


def test_a_build_without_the_global_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payers, "_ABSENT", None)
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert "global lock" in str(payers.why_not())
    with pytest.raises(PayersUnavailable, match="global lock"):
        payers.install()


def test_where_the_extension_is_not_built_the_names_say_so_and_change_nothing() -> None:
    done = python("-c", ABSENT)
    assert done.returncode == 0, done.stderr


ABSENT = """
import sys
sys.modules["pinfut._payers"] = None
from pinfut import payers
assert "_payers" in payers.why_not() and not payers.installed()
for refused in (payers.install, lambda: payers.Payer(10)):
    try:
        refused()
    except payers.PayersUnavailable as error:
        assert "_payers" in str(error)
    else:
        raise AssertionError("it was made")
assert payers.off_call(max, 1, 2) == 2
assert payers.owner([]) is None and payers.current() == (None, "off")
assert payers.stats()["used"] == payers.reserve() == 0
"""


@needs_payers
def test_without_install_no_payer_can_be_made() -> None:
    assert not payers.installed(), "the tests' own process has them"
    with pytest.raises(RuntimeError, match="install"):
        Payer(10)


@apart
def test_numbers_that_are_no_pages_are_refused() -> None:
    p = Payer(10)
    for wrong in (-1, 2**63, "10", 1.5):
        with pytest.raises((ValueError, OverflowError, TypeError)):
            p.limit = wrong  # type: ignore[assignment]
        with pytest.raises((ValueError, OverflowError, TypeError)):
            Payer(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        del p.limit
    assert p.limit == 10
    with pytest.raises(TypeError):
        p.soft_call()  # type: ignore[call-arg]
    assert payers.current() == (None, "off")


@apart
def test_a_child_of_a_fork_has_its_own_payers_and_its_own_main_thread() -> None:
    p = Payer(50)
    held = p.soft_call(bytearray, 10 * PAGE)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            p.firm_call(lambda: len(bytearray(100 * PAGE)))
        except MemoryError:
            audit(p)
            code = 7 if p.pages >= 10 else 2
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert p.pages >= 10
    assert (p.raised, len(held)) == (0, 10 * PAGE)
    assert not tracemalloc.is_tracing()


@apart
def test_a_step_in_which_a_process_was_forked_is_refused_in_the_child_at_a_safe_point() -> None:
    p = Payer(50)

    def forks() -> int:
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            sum(len(bytearray(100 * PAGE)) for _ in range(3))
        except MemoryError:
            code = 7
        os._exit(code)

    _, status = os.waitpid(p.firm_call(forks), 0)
    assert os.waitstatus_to_exitcode(status) == 7
