r"""A small library written function by function: each step is voted on by what the programs do, not how they look.

Later functions call the voted earlier ones. A microagent sees the signature and docstring of its function and the
sources that it may call; it answers with one program of those, as they are, and its own function last. So a vote can be
run by itself: two votes are one answer when they give the same results on the probes, see `matchers.behaviour`.

>>> from langgraph_maker.tasks.programs import ProgramLibrary
>>> task = ProgramLibrary(2, sandbox=lambda name: lambda program, probes: [])
>>> print(task.prompt(task.initial_state())[-1].text)
done: 0
signature: "def unique(items)"
docstring: "Return the items without those that came before, in the order in which they first come."
may call: nothing but Python's own functions
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_maker.core.ballot import key_function
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.matchers import behaviour
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.sandbox import Sandbox
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.tasks.program_library import LIBRARY, Function, KnownFunction
from langgraph_maker.tasks.wording import asked, fingerprint, shown

__all__ = ["ProgramLibrary", "Programs"]

Isolated: TypeAlias = Callable[[str], Callable[[str, Sequence[Sequence[Any]]], list[Any]]]
"""From the name of a function to what runs it in a program on probes, such as `core.sandbox.Sandbox`."""


class Programs(Task):
    """Write a library of your own, function by function, each decided by a vote on what programs do.

    A state holds how many functions are `done`, and their sources under `library`. It grows with the library, which is
    what the run is for.

    Args:
        functions: In the order in which they are written.
        sandbox: What runs them. Without bubblewrap the default raises, and nothing is run.

    Raises:
        ValueError: When there is no function, two have one name, or one uses what does not come before it.
        MakerError: When there is no sandbox on this machine.
    """

    name = "programs"

    def __init__(self, functions: Sequence[Function], *, sandbox: Isolated = Sandbox) -> None:
        if not functions:
            raise ValueError("a library has at least one function")
        self.functions = {one.name: one for one in functions}
        self.order, self.steps = list(self.functions), len(functions)
        if len(self.order) < len(functions):
            raise ValueError(f"two functions have one name: {', '.join(one.name for one in functions)[:200]}")
        self._calls = dict[str, list[str]]()
        for place, one in enumerate(functions):
            if missing := [used for used in one.uses if used not in self.order[:place]]:
                raise ValueError(f"{one.name} uses {excerpt(missing[0])}, which does not come before it")
            needed = {*one.uses, *(name for used in one.uses for name in self._calls[used])}
            self._calls[one.name] = [name for name in self.order if name in needed]
        self._keys = {one.name: behaviour(sandbox(one.name), one.probes) for one in functions}

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.steps} functions"

    def parameters(self) -> dict[str, Any]:
        """Return how many functions there are, and a digest of what is asked of them."""
        asked_for = [[one.signature, one.docstring, one.probes, [*one.uses]] for one in self.functions.values()]
        return {"functions": self.steps, "digest": fingerprint(asked_for)}

    def initial_state(self) -> State:
        """Return a library with nothing in it."""
        return {"done": 0, "library": {}}

    def is_done(self, state: State) -> bool:
        """Return whether all functions are written."""
        return bool(state["done"] == self.steps)

    def prompt(self, state: State) -> list[BaseMessage]:
        """φ: signature and docstring of the next function, and the sources of those that it may call."""
        function = self._next(state)
        said = {"done": state["done"], "signature": function.signature, "docstring": function.docstring}
        _, last = asked("", said)
        sources = [state["library"][name] for name in self._calls[function.name]]
        may = f"\n```python\n{_BETWEEN.join(sources)}\n```" if sources else " nothing but Python's own functions"
        return [SystemMessage(_INSTRUCTIONS), HumanMessage(f"{last.text}\nmay call:{may}")]

    def parse(self, text: str) -> Vote:
        """ψ: the program in the last fenced block, and the name of its last function.

        Raises:
            RedFlag: `no_program` where no block is closed, `bad_program` where it holds anything but functions.
        """
        pieces = text.split("```")
        if len(pieces) % 2 == 0 or len(pieces) == 1:
            raise RedFlag("no_program", f"no fenced block is closed; the text ends {text[-80:]!r}")
        _, _, program = pieces[-2].partition("\n")
        program = program.strip()
        *_, (name, _) = _functions(program)
        return {"action": program, "next_state": name}

    def vote_key(self, vote: Vote) -> str:
        """Return what the program does on the probes of its function: equal when that is."""
        key = self._keys.get(vote["next_state"])
        if key is None:
            raise RedFlag("bad_program", f"{excerpt(vote['next_state'])} is none of the functions")
        did = key_function(key, {})(vote["action"])
        return f"{vote['next_state']}: {did if len(did) <= _LONGEST_KEY else fingerprint(did)}"

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        """Flag another function than the one asked for, and earlier ones that are not as they were voted."""
        function, found = self._next(state), _functions(vote["action"])
        name, source = found.pop()
        wanted = f"{function.signature}:"
        if name != function.name or not _close(source).startswith(_close(wanted)):
            return RedFlag("other_function", f"{source[:80]!r} where {wanted!r} is asked for")
        if len({*dict(found)}) < len(found) or not {*dict(found)} <= {*self._calls[name]}:
            return RedFlag("other_function", f"beside {name} it defines {', '.join(dict(found))[:80]}")
        for earlier, copied in found:
            if copied.strip() != state["library"][earlier].strip():
                return RedFlag("changed_function", f"{earlier} is not as it was voted")
        return None

    def advance(self, state: State, vote: Vote) -> State:
        """Return the library with the function as the vote has it."""
        name, source = _functions(vote["action"])[-1]
        return {"done": state["done"] + 1, "library": {**state["library"], name: source.strip()}}

    def step_type(self, state: State) -> str:
        """Return whether the function may call earlier ones."""
        return "calls earlier ones" if self._next(state).uses else "stands alone"

    def source(self, state: State) -> str:
        """Return the library as one module."""
        return _BETWEEN.join([*state["library"].values(), ""])

    def _next(self, state: State) -> Function:
        return self.functions[self.order[state["done"]]]


class ProgramLibrary(Programs):
    """The twenty functions that ship, with their truth: for simulation, calibration and measurements.

    Args:
        functions: How many of them, from the first on.
        probes: How many of each one's probes votes are compared by, at most; None for all.
        sandbox: As of `Programs`.

    Raises:
        ValueError: When there are not so many functions, or `probes` is less than 1.
        MakerError: When there is no sandbox on this machine.
    """

    def __init__(self, functions: int = 20, *, probes: int | None = None, sandbox: Isolated = Sandbox) -> None:
        if not isinstance(functions, int) or isinstance(functions, bool) or not 1 <= functions <= len(LIBRARY):
            raise ValueError(f"functions is a whole number from 1 to {len(LIBRARY)}, not {excerpt(functions)}")
        if probes is not None and (not isinstance(probes, int) or isinstance(probes, bool) or probes < 1):
            raise ValueError(f"probes is a whole number of at least 1, not {excerpt(probes)}")
        self.known = {one.name: one for one in LIBRARY[:functions]}
        limited = [
            Function(signature=one.signature, docstring=one.docstring, probes=one.probes[:probes], uses=one.uses)
            for one in self.known.values()
        ]
        super().__init__(limited, sandbox=sandbox)

    def oracle(self, state: State) -> Vote:
        """Return a right program."""
        return self._vote(state, self._known(state).right[0])

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return how much is done, and the sources that a prompt of this task shows.

        Raises:
            ValueError: When the last human message does not show them.
        """
        [done] = shown(messages, "done")
        pieces = messages[-1].text.split("```")
        sources = _functions(pieces[1].removeprefix("python").strip()) if len(pieces) > 1 else []
        return {"done": done, "library": {name: source.strip() for name, source in sources}}

    def wrong_votes(self, state: State) -> list[Vote]:
        """Return programs that look right and are not, then those that fail or do not end, for simulation."""
        known = self._known(state)
        return [self._vote(state, body) for body in (*known.slips, *known.broken)]

    def wordings(self, vote: Vote) -> list[str]:
        """Return how models write `vote`, for simulation: a right program in several forms."""
        known = self.known[vote["next_state"]]
        before, own = _functions(vote["action"])[:-1], _functions(vote["action"])[-1][1].strip()
        right = [known.source(body) for body in known.right]
        forms = right if own in right else [own]
        return [_fenced([*(source for _, source in before), form]) for form in forms]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        return self.wordings(vote)[0]

    def failing(self, state: State, run: Isolated = Sandbox) -> list[str]:
        """Return the functions of a library that fail a truth test: what a vote by behaviour missed.

        Args:
            state: As a run ends.
            run: What runs them.
        """
        failed = []
        for name in state["library"]:
            known = self.known[name]
            program = _BETWEEN.join(state["library"][one] for one in [*self._calls[name], name])
            try:
                results = run(name)(program, [arguments for arguments, _ in known.tests])
            except RedFlag:
                failed.append(name)
                continue
            if results != [right for _, right in known.tests]:
                failed.append(name)
        return failed

    def _known(self, state: State) -> KnownFunction:
        return self.known[self._next(state).name]

    def _vote(self, state: State, body: str) -> Vote:
        known = self._known(state)
        sources = [state["library"][name] for name in self._calls[known.name]]
        return {"action": _BETWEEN.join([*sources, known.source(body)]), "next_state": known.name}


def _functions(program: str) -> list[tuple[str, str]]:
    """Return the name and source of each function.

    Raises:
        RedFlag: `bad_program` where there is none, or something else beside them, or it is too long.
    """
    if len(program) > _LONGEST:
        raise RedFlag("bad_program", f"{len(program):,} characters, of {_LONGEST:,} at most")
    before, *pieces = _DEF.split(program)
    if before.strip() or not pieces:
        raise RedFlag("bad_program", f"it begins {program[:80]!r}, and not with a function")
    found = [(name, f"def {name}{rest}") for name, rest in zip(pieces[::2], pieces[1::2], strict=True)]
    for _, source in found:
        if beside := _BESIDE.search(source, source.find("\n") + 1 or len(source)):
            raise RedFlag("bad_program", f"{beside.group()[:80]!r} stands beside its functions")
    return found


def _close(text: str) -> str:
    return "".join(text.split())


def _fenced(sources: Sequence[str]) -> str:
    return f"```python\n{_BETWEEN.join(one.strip() for one in sources)}\n```"


_BETWEEN: Final = "\n\n\n"
_LONGEST: Final = 20_000
_LONGEST_KEY: Final = 500
_DEF: Final = re.compile(r"^def ([A-Za-z_][A-Za-z_0-9]*)(?=\()", re.MULTILINE)
_BESIDE: Final = re.compile(r"^[^\s#)].*$", re.MULTILINE)
_INSTRUCTIONS: Final = """\
You write one function of a small Python library; others write those before and after it. You are shown how many are \
done, the signature and the docstring of yours, and the sources of the functions that it may call, if any.

Write the function with exactly that signature. It returns a value for each input that its docstring allows, and does \
not print. What it needs of Python's standard library it imports within itself. It may call the functions that are \
shown, and no others of the library.

End with one fenced block that holds a whole program and nothing but functions: first the functions that are shown, \
each copied exactly as it is, then yours as the last one. For "def twice_over(x)" with "double" shown that is

```python
def double(x):
    return 2 * x


def twice_over(x):
    return double(double(x))
```"""
