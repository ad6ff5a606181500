r"""Proofs in propositional logic, step by step: a checker sees whether a step is legal, the vote which one leads on.

A goal is what is `given` and what it is to `show`; a step names a rule and a place, and leaves the goals that take the
goal's place. The rules are those of a calculus without loops (Dyckhoff's contraction-free one, LJT), so that whether
a goal can be shown at all is decidable: that is the truth, and no run sees it.

>>> task = Proof([{"given": [["if", "p", "q"], "p"], "show": ["or", "r", "q"]}])
>>> print(task.prompt(task.initial_state())[-1].text)
given: [["if", "p", "q"], "p"]
show: ["or", "r", "q"]
>>> task.oracle(task.initial_state())
{'action': ['apply', 0], 'next_state': [{'given': ['q', 'p'], 'show': ['or', 'r', 'q']}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any, Final, Self, TypeAlias

import orjson
from langchain_core.messages import BaseMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.tasks.wording import asked, fingerprint, said, shown, written

__all__ = ["Goal", "Proof"]

Goal: TypeAlias = dict[str, Any]
"""What is `given`, a list of formulas, and the formula to `show`; see `Proof`."""

Step: TypeAlias = list[Any]

_CHOICES: Final = {"left", "right", "show_condition"}
"""Rules after which what could be shown before may be out of reach."""
_DEEPEST: Final = 30
_MOST: Final = 60


class Proof(Task):
    """Show each of some goals by single steps; how many it takes is not known beforehand.

    A formula is a name such as "p", the text "false", or a list ["and", A, B], ["or", A, B], ["if", A, B]. A state
    holds the goals that are left, of which a microagent sees the first.

    Args:
        goals: Each `{"given": [...], "show": ...}`.
        checked: Whether `validate` flags illegal steps. Without it they are left to the vote, as a measurement does.

    Raises:
        ValueError: When there is no goal, one is malformed, or one cannot be shown.
    """

    name = "proof"

    def __init__(self, goals: Sequence[Mapping[str, Any]], *, checked: bool = True) -> None:
        if not goals:
            raise ValueError("there is no goal to show")
        for place, goal in enumerate(goals):
            if not _is_goal(goal):
                raise ValueError(f'goal {place} is no {{"given": [...], "show": ...}} of formulas: {excerpt(goal)}')
            if not _provable(orjson.dumps(goal, option=orjson.OPT_SORT_KEYS)):
                raise ValueError(f"goal {place} cannot be shown: {excerpt(goal)}")
        self.goals = [{"given": [*goal["given"]], "show": goal["show"]} for goal in goals]
        self.checked = checked

    @classmethod
    def random(cls, theorems: int = 10, *, seed: int = 0, checked: bool = True) -> Self:
        """Return so many random goals that can be shown, none at once.

        Raises:
            ValueError: When `theorems` is not from 1 to 1,000.
        """
        if not isinstance(theorems, int) or isinstance(theorems, bool) or not 1 <= theorems <= 1000:  # noqa: PLR2004
            raise ValueError(f"theorems is a whole number from 1 to 1,000, not {excerpt(theorems)}")
        random, goals = Random(seed), list[Goal]()  # noqa: S311 - no secret
        while len(goals) < theorems:
            goal = {"given": [_random(random, 2) for _ in range(2)], "show": _random(random, 2)}
            if _provable(orjson.dumps(goal, option=orjson.OPT_SORT_KEYS)) and _takes_a_choice(goal):
                goals.append(goal)
        return cls(goals, checked=checked)

    def __repr__(self) -> str:
        return f"Proof of {len(self.goals)} goals {fingerprint(self.goals)}"

    def parameters(self) -> dict[str, Any]:
        """Return how many goals there are, a digest of them, and whether steps are checked."""
        return {"goals": len(self.goals), "digest": fingerprint(self.goals), "checked": self.checked}

    def initial_state(self) -> State:
        """Return all goals."""
        return [{**goal} for goal in self.goals]

    def is_done(self, state: State) -> bool:
        """Return whether no goal is left."""
        return not state

    def prompt(self, state: State) -> list[BaseMessage]:
        """φ: the rules, and the first goal."""
        return asked(_INSTRUCTIONS, {"given": state[0]["given"], "show": state[0]["show"]})

    def parse(self, text: str) -> Vote:
        """ψ: a step [rule, place], and the goals that it leaves.

        Raises:
            RedFlag: `no_step`, `no_goals`, `bad_step` or `bad_goals`, when they are missing or malformed.
        """
        step, goals = said(text, "step", "goals")
        if not isinstance(step, list) or list(map(type, step)) != [str, int]:
            raise RedFlag("bad_step", f"{str(step)[:80]} is not [rule, place]")
        if not isinstance(goals, list) or not all(map(_is_goal, goals)):
            raise RedFlag("bad_goals", f"{str(goals)[:80]} is no list of goals")
        return {"action": step, "next_state": goals}

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        """Flag a step that is not legal, and goals that are not those it leaves; whether it leads on is voted."""
        if not self.checked:
            return None
        left = next((goals for step, goals in _steps(state[0]) if step == vote["action"]), None)
        if left is None:
            return RedFlag("illegal_step", f"{vote['action']} for {str(state[0])[:80]}"[:200])
        return None if left == vote["next_state"] else RedFlag("contradiction", f"goals not left by {vote['action']}")

    def advance(self, state: State, vote: Vote) -> State:
        """Return the goals that the vote leaves, and those that come after."""
        return [*vote["next_state"], *state[1:]]

    def step_type(self, state: State) -> str:
        """Return whether the first rule that applies is safe, or one has to be chosen."""
        return next(("safe" for step, _ in _steps(state[0]) if step[0] not in _CHOICES), "choice")

    def oracle(self, state: State) -> Vote:
        """Return the first step in the order of the rules that leads on.

        Raises:
            ValueError: When there is none.
        """
        step, goals = _leading(state[0])
        return {"action": step, "next_state": goals}

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return the goal that a prompt of this task shows, as the only one.

        Raises:
            ValueError: When the last human message does not show one.
        """
        given, show = shown(messages, "given", "show")
        return [{"given": given, "show": show}]

    def wrong_votes(self, state: State) -> list[Vote]:
        """Likely slips, for simulation: a goal taken for shown, something given lost, another legal step."""
        goal, right = state[0], self.oracle(state)
        lost = [{**one, "given": one["given"][:-1]} for one in right["next_state"] if one["given"]] or [goal]
        slips: list[Vote] = [{"action": ["close", 0], "next_state": []}]
        slips.append({"action": right["action"], "next_state": lost})
        slips += [{"action": step, "next_state": goals} for step, goals in _steps(goal)]
        return [one for place, one in enumerate(slips) if one != right and one not in slips[:place]]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        return written(step=vote["action"], goals=vote["next_state"])

    def holds(self, actions: Sequence[Step]) -> bool:
        """Return whether these steps are a proof of all goals, each of them legal.

        Example:
            >>> Proof([{"given": ["p"], "show": ["or", "p", "q"]}]).holds([["left", 0], ["close", 0]])
            True
        """
        goals: list[Goal] = self.initial_state()
        for action in actions:
            left = next((left for step, left in _steps(goals[0]) if step == action), None) if goals else None
            if left is None:
                return False
            goals = [*left, *goals[1:]]
        return not goals


def _steps(goal: Goal) -> Iterator[tuple[Step, list[Goal]]]:
    """Yield each legal step with the goals that it leaves, in the order of the rules and then of places."""
    for rules in (_simple, _of_conditions, _branching, _choices):
        yield from rules(goal["given"], goal["show"])


def _simple(given: list[Any], show: Any) -> Iterator[tuple[Step, list[Goal]]]:
    for place, known in enumerate(given):
        if known in (show, "false"):
            yield ["close", place], []
    if show[0] == "if":
        yield ["assume", 0], _goals(([*given, show[1]], show[2]))
    for place, a, b in _of("and", given):
        yield ["take_apart", place], _goals((_with(given, place, a, b), show))


def _of_conditions(given: list[Any], show: Any) -> Iterator[tuple[Step, list[Goal]]]:
    conditions = [*_of("if", given)]
    for place, a, b in conditions:
        if a in given:
            yield ["apply", place], _goals((_with(given, place, b), show))
    for place, a, b in conditions:
        if a[0] == "and":
            yield ["curry", place], _goals((_with(given, place, ["if", a[1], ["if", a[2], b]]), show))
    for place, a, b in conditions:
        if a[0] == "or":
            yield ["either", place], _goals((_with(given, place, ["if", a[1], b], ["if", a[2], b]), show))


def _branching(given: list[Any], show: Any) -> Iterator[tuple[Step, list[Goal]]]:
    if show[0] == "and":
        yield ["both", 0], _goals((given, show[1]), (given, show[2]))
    for place, a, b in _of("or", given):
        yield ["cases", place], _goals((_with(given, place, a), show), (_with(given, place, b), show))


def _choices(given: list[Any], show: Any) -> Iterator[tuple[Step, list[Goal]]]:
    if show[0] == "or":
        yield ["left", 0], _goals((given, show[1]))
        yield ["right", 0], _goals((given, show[2]))
    for place, a, b in _of("if", given):
        if a[0] == "if":
            first = _with(given, place, ["if", a[2], b], a[1])
            yield ["show_condition", place], _goals((first, a[2]), (_with(given, place, b), show))


def _of(kind: str, given: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    return ((place, one[1], one[2]) for place, one in enumerate(given) if one[0] == kind)


def _with(given: list[Any], place: int, *instead: Any) -> list[Any]:
    return [*given[:place], *instead, *given[place + 1 :]]


def _goals(*pairs: tuple[list[Any], Any]) -> list[Goal]:
    return [{"given": known, "show": wanted} for known, wanted in pairs]


@lru_cache(maxsize=10_000)
def _provable(goal: bytes) -> bool:
    """Return whether a goal can be shown: safe steps keep that as it is, and of choices one has to lead on."""
    try:
        step, goals = _leading(orjson.loads(goal))
    except ValueError:
        return False
    return step[0] in _CHOICES or _all_provable(goals)


def _all_provable(goals: list[Goal]) -> bool:
    return all(_provable(orjson.dumps(one, option=orjson.OPT_SORT_KEYS)) for one in goals)


def _takes_a_choice(goal: Goal) -> bool:
    """Return whether its proof has a choice of which another end is dead."""
    goals = [goal]
    while goals:
        first, *rest = goals
        step, left = _leading(first)
        if step[0] in _CHOICES and not all(_all_provable(others) for _, others in _steps(first)):
            return True
        goals = [*left, *rest]
    return False


def _leading(goal: Goal) -> tuple[Step, list[Goal]]:
    for step, goals in _steps(goal):
        if step[0] not in _CHOICES or _all_provable(goals):
            return step, goals
    raise ValueError(f"no step leads on from {excerpt(goal)}: it cannot be shown")


def _is_goal(value: Any) -> bool:
    if not isinstance(value, Mapping) or value.keys() != {"given", "show"} or not isinstance(value["given"], list):
        return False
    return len(value["given"]) <= _MOST and all(_is_formula(one, _DEEPEST) for one in [*value["given"], value["show"]])


def _is_formula(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        return bool(value) and value.isprintable()
    named = isinstance(value, list) and len(value) == 3 and value[0] in _KINDS  # noqa: PLR2004 - kind, one, other
    return named and depth > 0 and all(_is_formula(one, depth - 1) for one in value[1:])


def _random(random: Random, depth: int) -> Any:
    if depth == 0 or random.random() < 0.2:  # noqa: PLR2004
        return random.choice("pqr")
    return [random.choice(_KINDS), _random(random, depth - 1), _random(random, depth - 1)]


_KINDS: Final = ("and", "or", "if")
_INSTRUCTIONS: Final = """\
You make a single step of a proof in intuitionistic propositional logic; others make those before and after it. \
"given" are formulas that hold, numbered from 0, and "show" is the formula to be shown from them. A formula is a name, \
"false", or a list: ["and", A, B], ["or", A, B], or ["if", A, B] for "if A then B".

RULES, each with the goals that it leaves; [X] is the place of a given formula X, and what replaces X stands there
close [X]: X is the formula to show, or "false". It leaves no goal.
assume 0: to show ["if", A, B], add A as the last given formula, and show B.
take_apart [X]: X is ["and", A, B]. Replace it by A, B.
apply [X]: X is ["if", A, B], and A is given. Replace X by B.
curry [X]: X is ["if", ["and", A, B], C]. Replace it by ["if", A, ["if", B, C]].
either [X]: X is ["if", ["or", A, B], C]. Replace it by ["if", A, C], ["if", B, C].
both 0: to show ["and", A, B], leave two goals, to show A and to show B.
cases [X]: X is ["or", A, B]. Leave two goals, one with A in place of X and one with B.
left 0, right 0: to show ["or", A, B], show A, or show B.
show_condition [X]: X is ["if", ["if", A, B], C]. Leave two goals: with ["if", B, C], A in place of X show B; and with \
C in place of X show what was to be shown.

STRATEGY
Take the first rule in this list that applies, at its lowest place. The last two lines need a choice: of left, right \
and show_condition take the first after which each goal that is left can still be shown.

End with exactly these two lines, the step as [rule, place], and the goals that take the place of this one, in order, \
each with all that is given:
step = ["assume", 0]
goals = [{"given": [["or", "p", "q"], "p"], "show": "r"}]"""
