"""record: run a program, and keep what happened as a trace."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from inspect import iscoroutinefunction, signature
from os.path import basename
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, TextIO, final

from pinfut.executor import Recorder, VirtualClock, run
from pinfut.executor.current import running
from pinfut.executor.trace.texts import place, without_places
from pinfut.learn.explorer.trace import Trace, TraceError
from pinfut.rpc.kernel.memory_mode import VARIABLE

LIMIT: Final = 20_000
"""Events that are kept."""

STEPS: Final = 1_000_000
"""Steps of a run: on simulated time a busy loop never ends."""

_LONGEST_PRINT: Final = 2_000
"""Characters of what is printed at once."""

_MOST_SOURCE: Final = 1 << 18
"""Characters of one source."""


def record(
    go: Callable[[Recorder], object],
    *,
    sources: Mapping[str, str],
    title: str = "",
    seed: int | None = None,
    choices: Sequence[int] | None = None,
    real: bool = False,
    lines: bool = True,
    limit: int = LIMIT,
    echo: TextIO | None = None,
) -> Trace:
    """Call ``go(recorder)``, which runs something with the recorder as an instrument, and give
    what it recorded. What `go` raises stands in the trace as its error; KeyboardInterrupt alone
    is raised on.

    `sources`: the texts of the program's files by name, the program first; of their lines the
    trace has events if `lines`. `title`, `seed`, `choices` and `real` (the clock) are told to the
    reader as they are. `limit`: how many events are kept, the last ones. What is printed becomes
    an event, and goes to `echo`, too.
    """
    recorder = Recorder(limit)
    header: dict[str, Any] = {
        "title": title or next(iter(sources), ""),
        "clock": "real" if real else "virtual",
        "seed": seed,
        "choices": None if choices is None else list(choices),
        "sources": [{"name": name, "text": sources[name][:_MOST_SOURCE]} for name in sources],
    }
    try:
        with ExitStack() as stack:
            out = _Out(recorder, echo)
            stack.callback(out.end)
            stack.enter_context(redirect_stdout(out))
            if lines:
                stack.enter_context(_lines(recorder, sources))
            go(recorder)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        header["error"] = _told(error, sources)
    header["lost"] = recorder.lost
    if recorder.lost:
        header["tasks"] = {str(number): name for number, name in recorder.tasks.items()}
    told = {key: value for key, value in header.items() if value is not None}
    return Trace(told, [*recorder.events])


def record_file(
    path: str | Path,
    *,
    seed: int | None = None,
    real: bool = False,
    checked: bool = True,
    lines: bool = True,
    limit: int = LIMIT,
    steps: int = STEPS,
    echo: TextIO | None = None,
) -> Trace:
    """Load the program at `path` as a module, run its ``async def main()``, and give its trace.

    On simulated time unless `real`. `seed`: as for `pinfut.executor.run`. `steps`: where a run
    that does not end is ended. The other options are those of `record`. Raises TraceError for a
    file that cannot be loaded, has no such function or one that needs arguments, and OSError for
    one that cannot be read.
    """
    path = Path(path).resolve()
    with _loaded(path) as module:
        main = getattr(module, "main", None)
        if not iscoroutinefunction(main):
            raise TraceError(
                f"{path.name} has no `async def main()`: write one, and run it where the file is "
                "not imported"
            )
        try:
            signature(main).bind()
        except TypeError as error:
            raise TraceError(f"main() of {path.name} is called with nothing: {error}") from None

        def go(recorder: Recorder) -> None:
            clock = None if real else VirtualClock()
            with ExitStack() as stack:
                if not real:
                    stack.enter_context(_priced())
                run(
                    main(),
                    clock=clock,
                    checked=checked,
                    instruments=[recorder],
                    seed=seed,
                    steps=steps,
                )

        return record(
            go,
            sources={path.name: path.read_text("utf-8")},
            seed=seed,
            real=real,
            lines=lines,
            limit=limit,
            echo=echo,
        )


@contextmanager
def _priced() -> Iterator[None]:
    """A kernel that is made in here goes by prices, if neither it nor the environment says
    otherwise: where objects lie is different each time."""
    said = VARIABLE in os.environ
    os.environ.setdefault(VARIABLE, "prices")
    try:
        yield
    finally:
        if not said:
            del os.environ[VARIABLE]


@contextmanager
def _loaded(path: Path) -> Iterator[ModuleType]:
    """The module at `path`, which is importable under its name inside of the block, and finds what
    is beside it."""
    name = path.stem if path.stem not in sys.modules else f"{path.stem} (recorded)"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TraceError(f"{path.name} is no Python file: name one that ends in .py")
    path.open("rb").close()  # an error that says so, if it is not there
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the program's own code raises
            raise TraceError(
                f"{path.name} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        yield module
    finally:
        sys.modules.pop(name, None)
        if str(path.parent) in sys.path:
            sys.path.remove(str(path.parent))


@final
class _Out(io.TextIOBase):
    """What a program prints to: each line is an event."""

    def __init__(self, recorder: Recorder, echo: TextIO | None) -> None:
        self._recorder = recorder
        self._echo = echo
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._note(f"{line}\n", _current())
        if len(self._begun) > _LONGEST_PRINT:
            self.end()
        if self._echo is not None:
            self._echo.write(text)
        return len(text)

    def flush(self) -> None:
        if self._echo is not None:
            self._echo.flush()

    def end(self) -> None:
        """What was printed last had no end of a line."""
        if self._begun:
            self._note(self._begun, None)
            self._begun = ""

    def _note(self, text: str, task: int | None) -> None:
        self._recorder.note("out", v=without_places(text)[:_LONGEST_PRINT], a=task)


@contextmanager
def _lines(recorder: Recorder, sources: Mapping[str, str]) -> Iterator[None]:
    """Inside of the block each line of the `sources` that runs is an event. A debugger or a
    coverage tool that traces here is put aside meanwhile."""
    names: dict[str, str | None] = {}

    def calls(frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        name = names.get(code.co_filename, "")
        if name == "":
            name = basename(code.co_filename)
            names[code.co_filename] = name = name if name in sources else None
        return None if name is None or running.executor is None else lines

    def lines(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line" and running.executor is not None:
            at = f"{names[frame.f_code.co_filename]}:{frame.f_lineno}"
            recorder.note("line", a=_current(), at=at, fn=frame.f_code.co_name)
        return lines

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        yield
    finally:
        sys.settrace(before)


def _current() -> int | None:
    executor = running.executor
    return None if executor is None else getattr(executor.current, "number", None)


def _told(error: BaseException, sources: Mapping[str, str]) -> dict[str, Any]:
    """An error as the header has it: of a group the first that breaks a law, or else the first."""
    # Bounded: each round goes one group deeper.
    while isinstance(error, BaseExceptionGroup):
        lawless = [one for one in error.exceptions if getattr(one, "law", 0)]
        error = (lawless or list(error.exceptions))[0]
    at = None
    traceback = error.__traceback__
    while traceback is not None:
        where = place(f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}")
        if where is not None and where.rpartition(":")[0] in sources:
            at = where
        traceback = traceback.tb_next
    return {
        "type": type(error).__name__,
        "text": without_places(str(error)),
        "law": getattr(error, "law", 0) or None,
        "at": at,
    }
