"""What a run of made mutants says: a table by file, the survivors, and whether it is enough."""

from __future__ import annotations

from collections import Counter

from tests.mutants.judge import HUNG, KILLED, SAME, SKIPPED, SURVIVED, Verdict
from tests.mutants.made import Source, differing
from tests.mutants.survivors import SURVIVORS, Survivor

COLUMNS = ("made", KILLED, HUNG, SURVIVED, SAME, SKIPPED)


def table(verdicts: list[Verdict]) -> list[str]:
    """By file, how many were made and what became of them."""
    counts: dict[str, Counter[str]] = {}
    for one in sorted(verdicts, key=lambda one: one.mutant.file):
        for name in (one.mutant.file, "total"):
            counts.setdefault(name, Counter()).update(("made", one.outcome))
    counts["total"] = counts.pop("total")
    lines = [f"{'file':<28}" + "".join(f"{name:>10}" for name in COLUMNS)]
    for name, count in counts.items():
        lines.append(f"{name:<28}" + "".join(f"{count[column]:>10}" for column in COLUMNS))
    return lines


def score(verdicts: list[Verdict], listed: tuple[Survivor, ...]) -> tuple[int, int, int]:
    """How many are killed or hung, of how many that can be, and how many are not among those:
    survivors that are listed as equivalent, which no test could kill."""
    same = {one.name for one in listed if one.kind == "equivalent"}
    counts = Counter(one.outcome for one in verdicts)
    killed = counts[KILLED] + counts[HUNG]
    alive = [one for one in verdicts if one.outcome == SURVIVED]
    equivalent = sum(one.mutant.name in same for one in alive)
    return killed, killed + len(alive) - equivalent, equivalent


def complaints(
    verdicts: list[Verdict], sources: list[Source], listed: tuple[Survivor, ...], wanted: float
) -> list[str]:
    """What is not as it should be: too few killed, survivors that nobody has classified, and
    entries of the list that are about nothing any more."""
    said: list[str] = []
    killed, judged, _ = score(verdicts, listed)
    if killed < wanted * judged:
        said.append(f"{killed} of {judged} that can be are killed, and {wanted:.0%} should be")
    known = {one.name: one for one in listed}
    for one in verdicts:
        if one.outcome == SURVIVED and one.mutant.name not in known:
            left = f", {one.left} more were left out" if one.left else ""
            said.append(f"not classified: {one.mutant.what} ({one.tests} tests{left})")
        if one.outcome in (KILLED, HUNG) and one.mutant.name in known:
            said.append(f"listed as a survivor, and killed: {one.mutant.what} by {one.by}")
    made = {mutant.name: mutant for one in sources for mutant in one.mutants}
    files = {one.file for one in sources}
    for survivor in listed:
        mutant = made.get(survivor.name)
        if mutant is None:
            if survivor.name.split()[0] in files:
                said.append(f"listed as a survivor, and not made any more: {survivor.name}")
        elif differing(mutant.before, mutant.after) != survivor.change:
            said.append(f"{survivor.name} is {differing(mutant.before, mutant.after)}")
    return said


def tell(verdicts: list[Verdict], sources: list[Source], wanted: float) -> bool:
    """Print it; whether nothing is wrong."""
    print(*table(verdicts), sep="\n")
    said = complaints(verdicts, sources, SURVIVORS, wanted)
    if said:
        print(*said, sep="\n")
    killed, judged, equivalent = score(verdicts, SURVIVORS)
    alive = [one for one in verdicts if one.outcome == SURVIVED]
    kinds = {one.name: one.kind for one in SURVIVORS}
    classes = Counter(kinds.get(one.mutant.name, "not classified") for one in alive)
    print("survived:", ", ".join(f"{kind} {count}" for kind, count in sorted(classes.items())))
    print(
        f"killed: {killed} of {judged + equivalent} ({killed / max(1, judged + equivalent):.1%}), "
        f"and without the equivalent ones {killed} of {judged} ({killed / max(1, judged):.1%})"
    )
    return not said
