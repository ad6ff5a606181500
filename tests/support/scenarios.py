"""Simulated faults one by one: each kind at each place of each scenario, and to each third one a second.

python tests/support/scenarios.py [SCENARIO[:KIND[:AT[:SECOND]]] …] goes through the cases that begin so, of all
scenarios where none is named, and prints each that went wrong, and a table of how many there were. SECOND seeds a
second fault, which the process after the first one meets; 0 is none.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from fault_kinds import KINDS, OPERATIONS, UNLUCKY, Died, Interrupt, Kind
from faults import FaultyStore, World
from modes import Scene
from operations import SCENARIOS, Scenario

from langgraph_maker.core.errors import MakerError
from langgraph_maker.journal import records, store_ops

__all__ = ["SCENARIOS", "Case", "cases", "check"]


@dataclass(frozen=True)
class Case:
    """One fault in one scenario."""

    scenario: str
    kind: Kind
    at: int
    second: int = 0

    def __str__(self) -> str:
        return f"{self.scenario}:{self.kind}:{self.at}:{self.second}"


def reference(name: str) -> tuple[dict[str, Any] | None, Counter[Kind]]:
    """What comes of a scenario without a fault, and how often each kind of fault can happen in its act."""
    if name not in _reference:
        result, world = _done(Case(name, "before", 0))
        times = Counter[Kind]({"call": world.calls, "called": world.calls, "save": world.saves, "saved": world.saves})
        times |= Counter(dict.fromkeys(OPERATIONS, world.operations))
        times |= Counter({"statement": world.statements, "cancel": world.turns})
        if SCENARIOS[name].meanwhile is not None:
            times = Counter({"meanwhile": world.operations})
        _reference[name] = result, times
    return _reference[name]


def cases(name: str) -> Iterator[Case]:
    """All first faults of a scenario, and to each third one a second."""
    _, times = reference(name)
    number = 0
    for kind in KINDS:
        for at in range(1, times[kind] + 1):
            yield Case(name, kind, at)
            number += 1
            if number % 3 == 0:
                yield Case(name, kind, at, number)


_reference: dict[str, tuple[dict[str, Any] | None, Counter[Kind]]] = {}


def check(case: Case) -> None:
    """The scenario under the fault comes to what it comes to without."""
    expected, _ = reference(case.scenario)
    result, _ = _done(case)
    assert result == expected


def _done(case: Case) -> tuple[dict[str, Any] | None, World]:
    with TemporaryDirectory() as folder:
        scene = Scene(World(file=f"{folder}/journal.sqlite" if "file" in case.scenario else ""))
        try:
            return _done_in(case, scene)
        finally:
            scene.world.close()


def _done_in(case: Case, scene: Scene) -> tuple[dict[str, Any] | None, World]:
    scenario, world = SCENARIOS[case.scenario], scene.world
    no_pause = SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic)
    with (
        mock.patch.object(store_ops, "time", no_pause),
        mock.patch.object(records, "writer", side_effect=lambda: world.writer),
    ):
        scenario.before(scene)
        world.process()
        world.bought.clear()
        world.lost.clear()
        if (meanwhile := scenario.meanwhile) is not None:
            world.meanwhile = lambda: _beside(scene, meanwhile)
        result = _acted(case, scenario, scene)
        counted = copy(world)
        scenario.after(scene, result)
    return None if result is None else scenario.told(result), counted


def _beside(scene: Scene, act: Callable[[Scene, Scene, FaultyStore], None]) -> None:
    """Let another process act, over the same data."""
    other, writer = Scene(World(scene.world.inner)), scene.world.writer
    store = other.world.process()
    scene.world.writer = other.world.writer
    act(scene, other, store)
    scene.world.writer = writer
    scene.world.others = other.world.puts
    scene.world.mixing = scene.world.operations > 1 and other.world.rounds > 0


def _acted(case: Case, scenario: Scenario, scene: Scene) -> Any:
    chance, world = random.Random(case.second), scene.world
    faults: list[tuple[Kind | None, int]] = [(case.kind, case.at)]
    if case.second:
        faults.append((chance.choice(UNLUCKY), chance.randint(1, 12)))
    act, store = scenario.act, None
    for kind, at in [*faults, (None, 0)]:
        if store is None:
            store = world.process(kind, at)
        else:
            world.resume(kind, at)
        try:
            return act(scene, store)
        except (Interrupt, asyncio.CancelledError):
            pass
        except Died:
            store = None
        except Exception as error:
            # Of the past a process may find that it is no tree, or another one's; of another writer that it is there.
            refused = isinstance(error, MakerError | ValueError) and kind in {"past", "meanwhile"}
            if not (world.dead or refused):  # what a dead process raises nobody sees
                raise AssertionError(case) from error
            store = None
        act = scenario.again or act
    raise AssertionError("it did not end without a fault")


def main() -> int:
    logging.disable(logging.WARNING)  # a store without a lock says so
    wanted = sys.argv[1:] or [*SCENARIOS]
    wrong = Counter[tuple[str, Kind]]()
    seen = Counter[tuple[str, Kind]]()
    for name in [name for name in SCENARIOS if any(f"{one}:".startswith(f"{name}:") for one in wanted)]:
        for case in cases(name):
            if not any(f"{case}:".startswith(f"{one}:") for one in wanted):
                continue
            seen[name, case.kind] += 1
            try:
                check(case)
            except Exception as error:  # noqa: BLE001 - whatever it is
                wrong[name, case.kind] += 1
                where = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
                said = " ".join(str(error.__cause__ or error).split())[:300]
                print(f"  '{case}': {type(error).__name__}: {said} @{Path(where.filename).name}:{where.lineno}")  # noqa: T201
        print(row(name, seen, wrong), flush=True)  # noqa: T201
    print(f"{seen.total()} cases, {wrong.total()} violations")  # noqa: T201
    return bool(wrong)


def row(name: str, seen: Counter[tuple[str, Kind]], wrong: Counter[tuple[str, Kind]]) -> str:
    """A line of the table: how many cases of each kind, and where some went wrong how many."""
    cells = [seen[name, kind] for kind in KINDS]
    failed = [wrong[name, kind] for kind in KINDS]
    told = [
        f"{there}{f' ({bad} wrong)' if bad else ''}" if there else "" for there, bad in zip(cells, failed, strict=True)
    ]
    return f"| {' | '.join([name, *told, str(sum(cells)), str(sum(failed))])} |"


if __name__ == "__main__":
    raise SystemExit(main())
