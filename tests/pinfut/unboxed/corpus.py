"""Programs for each construct of the language, by name."""

from __future__ import annotations

from textwrap import dedent

PROGRAMS: dict[str, str] = {}


def program(name: str, text: str) -> None:
    PROGRAMS[name] = dedent(HEAD) + dedent(text)


HEAD = """
class Manager:
    def __init__(self, name, swallow=False):
        self.name, self.swallow = name, swallow
    def __enter__(self):
        log(("enter", self.name))
        return self.name
    def __exit__(self, kind, error, traceback):
        log(("exit", self.name, kind and kind.__name__))
        return self.swallow

class AsyncManager:
    def __init__(self, name, swallow=False):
        self.name, self.swallow = name, swallow
    @unboxed
    async def __aenter__(self):
        log(("aenter", self.name))
        return await leaf(self.name)
    @unboxed
    async def __aexit__(self, kind, error, traceback):
        log(("aexit", self.name, kind and kind.__name__))
        try:
            await leaf("leaving")
        finally:
            log("left")
        return self.swallow

class Countdown:
    def __init__(self, left):
        self.left = left
    def __aiter__(self):
        return self
    @unboxed
    async def __anext__(self):
        if self.left == 0:
            raise StopAsyncIteration
        self.left -= 1
        return await leaf(self.left)

@unboxed
async def get(x):
    log(("get", x))
    got = await leaf(x)
    log(("got", got))
    return got

@unboxed
async def fail(x):
    await leaf(x)
    raise ValueError(x)
"""

program(
    "if",
    """
@unboxed
async def pick(n):
    if n == 0:
        return "none"
    elif n == 1:
        x = await get("one")
    else:
        x = await get("many")
    return x
@unboxed
async def main():
    return [await pick(0), await pick(1), await pick(2)]
""",
)
program(
    "for",
    """
@unboxed
async def find(items, wanted):
    for item in items:
        if item == wanted:
            return await get(item)
        if item < 0:
            continue
        if item > 5:
            break
        await leaf(item)
    else:
        return "exhausted"
    return "broken"
@unboxed
async def main():
    out = []
    for wanted in (2, 9, 7):
        out.append(await find([1, -1, 2, 3], wanted))
    out.append(await find([6, 1], 1))
    return out
""",
)
program(
    "while",
    """
@unboxed
async def more(box_):
    box_.append(1)
    return await get(len(box_) < 3)
@unboxed
async def main():
    box_ = []
    while await more(box_):
        log("body")
    else:
        log("else")
    n = 0
    while n < 5:
        n += 1
        if n == 2:
            continue
        if await get(n) == 4:
            break
    else:
        log("never")
    return n
""",
)
program(
    "while else",
    """
@unboxed
async def main():
    n = 3
    while await get(n):
        n -= 1
        if n == 10:
            break
    else:
        return "else"
    return "no"
""",
)
program(
    "break",
    """
@unboxed
async def search():
    for i in range(3):
        for j in range(3):
            if i * j == 2:
                return (i, j)
            await leaf((i, j))
            if j > i:
                break
    return None
@unboxed
async def main():
    return await search()
""",
)
program(
    "continue",
    """
@unboxed
async def main():
    out = []
    for i in range(5):
        if i % 2:
            continue
        out.append(await get(i))
    return out
""",
)
program(
    "return in finally",
    """
@unboxed
async def last():
    for i in range(2):
        try:
            await leaf(i)
            raise KeyError(i)
        finally:
            if i:
                return "swallowed"
            else:
                continue
@unboxed
async def main():
    return await last()
""",
)
program(
    "return in try",
    """
@unboxed
async def nested(x):
    while True:
        try:
            try:
                with Manager("m"):
                    return await get(x)
            finally:
                log("inner finally")
                await leaf("inner")
        finally:
            log("outer finally")
            await leaf("outer")
@unboxed
async def main():
    try:
        return await nested(1)
    finally:
        log("main finally")
""",
)
program(
    "try",
    """
@unboxed
async def attempt(kind):
    try:
        log(("try", kind))
        if kind == 1:
            await fail("a")
        if kind == 2:
            raise KeyError("k")
        if kind == 3:
            return await get("early")
    except ValueError as error:
        log(("caught", str(error)))
        await leaf("handler")
        return "value"
    except (KeyError, IndexError):
        try:
            await fail("b")
        except ValueError as again:
            log(("context", type(again.__context__).__name__))
    else:
        log("else")
        await leaf("else")
    finally:
        log("finally")
        await leaf("finally")
    return "end"
@unboxed
async def main():
    return [await attempt(kind) for kind in range(4)]
""",
)
program(
    "except*",
    """
@unboxed
async def main():
    out = []
    try:
        await leaf(1)
        raise ExceptionGroup("g", [ValueError(1), KeyError(2), OSError(3)])
    except* ValueError as group:
        out.append(await get(len(group.exceptions)))
    except* KeyError:
        out.append(await get("key"))
    except* OSError as group:
        try:
            await fail("os")
        except ValueError as error:
            out.append(str(error))
    finally:
        log("finally")
    return out
""",
)
program(
    "raise",
    """
@unboxed
async def chained():
    try:
        await fail("first")
    except ValueError as error:
        raise KeyError("second") from error
@unboxed
async def again():
    try:
        await chained()
    except KeyError as error:
        log(type(error.__cause__).__name__)
        raise
@unboxed
async def main():
    await again()
""",
)
program(
    "with",
    """
@unboxed
async def inside(swallow):
    with Manager("a") as a, Manager("b", swallow) as b:
        log((a, b))
        await leaf("with")
        await fail("in with")
    return "after"
@unboxed
async def main():
    out = [await inside(True)]
    try:
        await inside(False)
    except ValueError:
        out.append("raised")
    return out
""",
)
program(
    "async with",
    """
@unboxed
async def inside(swallow, early):
    async with AsyncManager("a") as a, AsyncManager("b", swallow) as b:
        log((a, b))
        if early:
            return "early"
        await fail("inside")
    return "after"
@unboxed
async def main():
    out = [await inside(True, False), await inside(False, True)]
    for n in range(2):
        async with AsyncManager(n):
            if n == 0:
                continue
            break
    await inside(False, False)
    return out
""",
)
program(
    "async for",
    """
@unboxed
async def main():
    out = []
    async for n in Countdown(4):
        if n == 2:
            continue
        out.append(n)
    else:
        out.append("else")
    async for n in Countdown(4):
        if n == 2:
            break
        out.append(await get(n))
    else:
        out.append("never")
    return out + [n]
""",
)
program(
    "async for return",
    """
@unboxed
async def first():
    async for n in Countdown(4):
        try:
            if n == 1:
                return n
        finally:
            log(("finally", n))
@unboxed
async def main():
    return await first()
""",
)
program(
    "comprehensions of an argument",
    """
@unboxed
async def each(p, q, r, xs):
    many = [await get(p) for x in xs]
    by_name = {x: await leaf(q) for x in xs if await get(x)}
    deep = [[await get((x, y)) for y in await get(r)] for x in xs]
    return many, by_name, deep
@unboxed
async def main():
    return await each("p", "q", (1, 2), (0, 1, 2))
""",
)

program(
    "comprehensions",
    """
@unboxed
async def main():
    base = 10
    plain = [x + base for x in range(3) if x]
    waited = [await get(x + base) for x in range(3) if await get(x) != 1]
    pairs = {await get(k): await get(v) for k, v in [(1, 2), (3, 4)]}
    many = {await get(x) for x in (1, 1)}
    counted = [n async for n in Countdown(3) if n]
    nested = [[await get((a, b)) for b in range(2)] for a in range(2)]
    makers = [lambda: x + base for x in range(3)]
    return plain, waited, pairs, many, counted, nested, [make() for make in makers]
""",
)
program(
    "lambda",
    """
@unboxed
async def adder(n):
    add = lambda x, *, by=n: x + by + n
    n += await get(1)
    return add
@unboxed
async def main():
    first = await adder(10)
    second = await adder(20)
    return first(1), second(1, by=5), sorted([3, 1], key=lambda x: -x)
""",
)
program(
    "generator expression",
    """
@unboxed
async def lazy(n):
    return (x * n for x in range(await get(3)))
@unboxed
async def main():
    a = await lazy(2)
    b = await lazy(3)
    return list(a), list(b), sum(x for x in [await get(4), 5])
""",
)
program(
    "match",
    """
@unboxed
async def what(thing):
    match await get(thing):
        case 0 | 1:
            return "small"
        case [a, *rest] if a:
            return a, rest, await get("list")
        case {"k": value, **others}:
            x = await get(value)
            return x, others
        case str() as text:
            return text
        case _:
            pass
    return "other"
@unboxed
async def main():
    return [await what(t) for t in (0, [1, 2, 3], {"k": 5, "z": 6}, "text", 3.5)]
""",
)
program(
    "match captured",
    """
@unboxed
async def main():
    match await get([1, 2]):
        case [a, b] if a > 5:
            f = lambda: a
        case [a, b]:
            f = lambda: a + b
    return f()
""",
)
program(
    "walrus",
    """
@unboxed
async def main():
    if (n := await get(5)) > 3 and (m := n + await get(1)):
        log((n, m))
    out = [last := x for x in (1, 2)]
    f = lambda: n + last
    return n, m, out, last, f()
""",
)
program(
    "nested function",
    """
@unboxed
async def counter(start):
    total = start
    def add(x: int, *more, scale=2, **kw) -> int:
        "adds"
        nonlocal total
        total += x * scale
        return total
    add(await get(1))
    return add
@unboxed
async def main():
    a = await counter(0)
    b = await counter(100)
    a(1)
    async def inner():
        return a(1)
    return a(5), b(5), a.__name__, a.__qualname__, a.__doc__, a.__annotations__, await box(inner())
""",
)
program(
    "nonlocal",
    """
def make():
    seen = 0
    @unboxed
    async def bump(by):
        nonlocal seen
        seen += await get(by)
        return seen
    @unboxed
    async def twice(by):
        await bump(by)
        return await bump(by)
    return twice
twice = make()
def reset():
    global twice
@unboxed
async def main():
    other = await get(1)
    async def read():
        return other
    return await box(read()) + other
""",
)
program(
    "closure",
    """
def make(step):
    @unboxed
    async def add(x):
        return x + await get(step)
    return add
three = make(3)
four = make(4)
@unboxed
async def main():
    return await three(1), await four(1), await three(await four(1))
""",
)
program(
    "class",
    """
@unboxed
async def build(n):
    class Point(object):
        "a point"
        kind = n
        def __init__(self, x):
            self.x = x + n
        def double(self):
            return self.x * 2 + self.kind
    await leaf("built")
    return Point
@unboxed
async def main():
    A = await build(1)
    B = await build(2)
    return A(1).double(), B(1).double(), A.__qualname__, A.__doc__, A.double.__qualname__
""",
)
program(
    "arguments",
    """
@unboxed
async def all_kinds(a, /, b, c=3, *args, d, e=5, **kw):
    return (a, b, c, args, d, e, kw, await get(a))
@unboxed
async def nothing():
    await leaf("nothing")
@unboxed
async def main():
    out = [await all_kinds(1, 2, d=4)]
    out.append(await all_kinds(1, 2, 3, 4, 5, d=6, z=7, y=8))
    out.append(await all_kinds(*[1, 2], **{"d": 3}))
    out.append(await all_kinds(await get(1), b=await get(2), d=await get(3)))
    out.append(await nothing())
    try:
        await all_kinds(1)
    except TypeError as error:
        out.append(str(error))
    try:
        await nothing(1)
    except TypeError as error:
        out.append(str(error))
    return out
""",
)
program(
    "method",
    """
class Base:
    def name(self):
        return "base"
class Thing(Base):
    made = 0
    def __init__(self, n):
        self.n = n
        self.__hidden = n * 10
    @unboxed
    async def value(self, extra=0):
        return await get(self.n + extra) + self.__hidden
    @unboxed
    async def twice(self):
        return await self.value() + await self.value(extra=1)
    @classmethod
    @unboxed
    async def construct(cls, n):
        await leaf("constructing")
        return cls(n)
    @staticmethod
    @unboxed
    async def helper(x):
        return await get(x)
    def name(self):
        return "thing"
    @unboxed
    async def up(self):
        await leaf("up")
        return super().name(), self.name()
@unboxed
async def use(thing: Thing):
    return await thing.twice()
@unboxed
async def main():
    thing = await Thing.construct(3)
    known = Thing(4)
    out = [await use(thing), await known.value(2), await Thing.value(thing)]
    return out + [await Thing.helper(9), await known.up()]
""",
)
program(
    "docstring and annotations",
    '''
@unboxed
async def noted(x: int) -> "str":
    """What it does."""
    y: int = await get(x)
    z: list[int]
    return str(y)
@unboxed
async def main():
    return await noted(1), noted.__doc__, noted.__annotations__, noted.__name__
''',
)
program(
    "decorated beneath",
    """
def register(function):
    log(function.__name__)
    function.tag = "registered"
    return function
@unboxed
@register
async def tagged(x):
    return await get(x)
@unboxed
async def main():
    return await tagged(1), tagged.tag
""",
)
program(
    "global",
    """
total = 0
def reset():
    global total
    total = 0
@unboxed
async def count(by):
    global total
    total += by
    await leaf(total)
    return total
@unboxed
async def main():
    await count(1)
    await count(2)
    return total
""",
)
program(
    "expressions",
    """
def f(*args, **kw):
    log(("f", args, kw))
    return args
class Store:
    def __getitem__(self, k):
        log(("getitem", k)); return 10
    def __setitem__(self, k, v):
        log(("setitem", k, v))
    def __setattr__(self, k, v):
        log(("setattr", k, v))
@unboxed
async def main():
    s = Store()
    out = [1 + await get(2) * await get(3), -await get(1), not await get(0)]
    out.append(f(f(1), await get(2), *f(3), k=await get(4), **{"z": await get(5)}))
    out.append(1 < await get(2) < await get(3) < await get(2) < await get(9))
    out.append(await get(0) or await get("or") or await get("never"))
    out.append(await get(1) and await get(0) and await get("never"))
    out.append(await get("yes") if await get(1) else await get("no"))
    out.append(f"{await get(1)!r:>{await get(4)}} and {f(2)} {await get('x'):3}|")
    out.append({await get(1): await get(2), **{3: await get(4)}})
    out.append((f(1), await get(2), [await get(3)], {await get(4)}))
    s[await get("k")] = await get("v")
    s[await get("k")] += await get(1)
    s.attr = await get(1)
    a, (b, *s[await get("t")]) = await get([1, [2, 3, 4]])
    x = y = await get(7)
    x += await get(1)
    del y
    try:
        assert await get(1), await get("not")
        assert await get(0), await get("message")
    except AssertionError as error:
        out.append(str(error))
    out.append([1, 2, 3][await get(0):await get(2)])
    for s[await get("i")] in (1, 2):
        pass
    return out, a, b, x
""",
)
program(
    "import",
    """
@unboxed
async def load():
    import os.path
    import json as j
    from math import floor, pi as circle
    await leaf("loaded")
    return os.path.basename("a/b"), j.dumps(1), floor(circle)
@unboxed
async def main():
    return await load()
""",
)
program(
    "unbound",
    """
@unboxed
async def maybe(bind):
    if bind:
        x = 1
    await leaf(bind)
    return x
@unboxed
async def main():
    out = [await maybe(True)]
    try:
        await maybe(False)
    except UnboundLocalError:
        out.append("unbound")
    return out
""",
)
program(
    "deleted",
    """
@unboxed
async def gone(x):
    y = x
    del x
    await leaf(y)
    try:
        return x
    except UnboundLocalError:
        return "deleted"
@unboxed
async def main():
    return await gone(1), await gone(2)
""",
)
program(
    "box",
    """
async def plain(x):
    return await leaf(x)
@unboxed
async def factorial(n):
    if n == 0:
        return 1
    return n * await box(factorial(n - 1))
@unboxed
async def main():
    return await box(plain(1)), await factorial(4)
""",
)
program(
    "yields",
    """
@unboxed
async def main():
    for _ in range(3):
        await yield_now()
    x = await Odd(1)
    future = leaf(2)
    return x, await future
""",
)
program(
    "StopIteration",
    """
@unboxed
async def stops():
    await leaf(1)
    return next(iter(()))
@unboxed
async def main():
    try:
        await stops()
    except StopIteration:
        return "wrong"
    except RuntimeError as error:
        return str(error), type(error.__cause__).__name__
""",
)
program(
    "swallows a cancel",
    """
@unboxed
async def stubborn():
    while True:
        try:
            await leaf("wait")
            return "done"
        except Cancelled:
            log("cancelled")
            await leaf("cleaning")
@unboxed
async def main():
    try:
        return await stubborn()
    finally:
        await leaf("last")
        log("end")
""",
)
program(
    "swallows a close",
    """
@unboxed
async def handler(kind):
    try:
        await leaf(kind)
    except BaseException as error:
        log(("handler", type(error).__name__))
    return "handled"
@unboxed
async def jumps():
    for n in range(2):
        try:
            await leaf(n)
        except KeyError:
            raise
        finally:
            log(("jumps", n))
            continue
    return "jumped"
@unboxed
async def manages():
    with Manager("swallows", True):
        await leaf("managed")
    return "managed"
@unboxed
async def groups():
    try:
        await leaf("group")
    except* BaseException as group:
        log(("group", [type(each).__name__ for each in group.exceptions]))
    return "grouped"
@unboxed
async def raises():
    try:
        await leaf("raises")
        raise GeneratorExit("mine")
    except GeneratorExit as error:
        log(("raises", error.args))
    return "raised by itself"
@unboxed
async def above(which):
    try:
        if which == 0:
            return await handler("h")
        if which == 1:
            return await jumps()
        if which == 2:
            return await manages()
        if which == 3:
            return await groups()
        return await raises()
    except GeneratorExit:
        log(("above", which))
        return "above"
    finally:
        log(("finally", which))
@unboxed
async def main():
    return [await above(which) for which in range(5)]
""",
)
program(
    "where a return stands",
    """
@unboxed
async def not_into_the_else(early):
    try:
        if early:
            return await get("early")
    except KeyError:
        return "never"
    else:
        log("else")
        return "else"
@unboxed
async def overrules(really):
    try:
        return await get("first")
    finally:
        if really:
            return "second"
@unboxed
async def spoils():
    try:
        return await get("value")
    finally:
        raise KeyError("spoiled")
@unboxed
async def swallowed(fails):
    with Manager("outer", True):
        with Manager("inner", False) as name:
            if fails:
                await fail("in there")
            return name, await get("out of it")
@unboxed
async def guarded(kind):
    try:
        if kind == 0:
            raise KeyError(await get("key"))
        try:
            return await get("tried")
        finally:
            log("cleaned")
    except KeyError as error:
        return str(error)
    finally:
        log(await get("finally"))
@unboxed
async def main():
    out = [await not_into_the_else(early) for early in (0, 1)]
    out += [await overrules(really) for really in (0, 1)]
    x = "before"
    try:
        x = await spoils()
    except KeyError:
        out.append(x)
    out += [await swallowed(fails) for fails in (1, 0, 1)]
    return out + [await guarded(0), await guarded(1)]
""",
)

program(
    "bare annotations",
    """
    seen = never = "the module's"
    @unboxed
    async def inner(x):
        never: int
        found: int
        if await leaf(x):
            found = x
        return found
    @unboxed
    async def main():
        seen: str
        never: str
        (log): str
        try:
            log(never)
        except UnboundLocalError:
            log("never")
        here = Manager("m")
        here.name: str
        try:
            log(seen)
        except UnboundLocalError:
            log("unbound")
        seen = await leaf(2)
        try:
            log(await inner(0))
        except UnboundLocalError:
            log("unbound there")
        return seen, await inner(1)
    """,
)

program(
    "inherited methods",
    """
    class Base:
        kept: AsyncManager
        def __init__(self):
            self.kept = AsyncManager("kept")
        @unboxed
        async def step(self, x, *, y=1):
            log(("base", await leaf(x), y))
            return x
        @unboxed
        async def other(self):
            return await leaf("other")
        @classmethod
        @unboxed
        async def made(cls, x):
            return cls.__name__, await leaf(x)
    class Derived(Base):
        @unboxed
        async def step(self, x, *, y=2):
            log(("derived", y))
            try:
                return await super().step(x, y=y), await self.other()
            finally:
                log(await super().other())
        @classmethod
        @unboxed
        async def made(cls, x):
            return "derived", await super().made(x)
        @unboxed
        async def last(self):
            async with self.kept as name:
                log(name)
            return await self.step(5)
    class Further(Derived):
        pass
    @unboxed
    async def main():
        thing = Derived()
        first = await thing.step(1)
        further = Further()
        return first, await further.last(), await Derived.made(3)
    """,
)
