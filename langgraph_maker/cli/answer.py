"""`langgraph-maker answer`: what a run waits for a human to say; and ladders as they are written on a command line."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any, Literal

import typer

from langgraph_maker import journal
from langgraph_maker.cli.console import show, wrapped
from langgraph_maker.cli.options import Db, Namespace
from langgraph_maker.cli.shell import USAGE, Command, command_line, told
from langgraph_maker.cli.tables import counted
from langgraph_maker.journal.databases import check_there, database, open_store, shown
from langgraph_maker.journal.lock import hold
from langgraph_maker.nodes.ladder import AskHuman, Form, LadderLike, Question, Split, Tier

__all__ = ["answer", "app", "asked_in_words", "read_tiers"]

_MOST = 500  # characters of a state or a vote

app = command_line()


@app.command(cls=Command)
def answer(  # noqa: PLR0917 - typer reads the options from the signature
    run_id: Annotated[str, typer.Option("--run-id", metavar="ID", help="the run that waits")],
    step: Annotated[str | None, typer.Argument(help="whose question it is; without it all are shown")] = None,
    db: Db = None,
    namespace: Namespace = None,
    pick: Annotated[int | None, typer.Option("--pick", metavar="NUMBER", help="take this candidate")] = None,
    text: Annotated[
        str | None, typer.Option("--answer", metavar="TEXT", help="another answer, worded as a model would")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="vote again from the beginning")] = False,  # noqa: FBT002
    abort: Annotated[bool, typer.Option("--abort", help="give the step up: it is unresolved then")] = False,  # noqa: FBT002
) -> None:
    """Answer a question that a run waits for, or show what it asks. The run's own command then resumes it."""
    given: dict[str, Any] = {"pick": pick, "answer": text, "retry": retry or None, "abort": abort or None}
    form = {name: value for name, value in given.items() if value is not None}
    with told(USAGE):
        db = database(db)
        check_there(db)
    with told(USAGE), open_store(db, namespace) as store:
        if step is None:
            if form:
                raise ValueError("say which step's question that answers")
            questions = journal.questions(store, run_id)
            for question in questions:
                show(asked_in_words(question, db, run_id, namespace))
            if not questions:
                show(f"run {run_id} has no open questions")
            return
        if len(form) != 1:
            raise ValueError("give one of --pick, --answer, --retry and --abort")
        with hold(store, run_id), told(USAGE):
            journal.answer(store, run_id, step, Form(**form))  # type: ignore[typeddict-item]
    show(f"Saved. Resume run {run_id} with the command that started it (same --run-id and --db).")


def asked_in_words(question: Question, db: str, run_id: str, namespace: list[str] | None = None) -> str:
    """Return a question with what each candidate would do, and the command that answers it."""
    lines = [wrapped(f"step {question['id']}: {question['why']}", hanging="  ")]
    if problem := question.get("problem"):
        lines.append(wrapped(f"the last answer could not be used: {problem}", "  ", "    "))
    lines.append(wrapped(f"state: {_shortened(question['state'])}", "  ", "    "))
    lines += [
        wrapped(f"candidate {number} ({counted(one['count'], 'vote')}): {_would_do(one['vote'])}", "  ", "    ")
        for number, one in enumerate(question["candidates"])
    ]
    tenant = [word for label in namespace or () for word in ("--namespace", label)]
    command = shlex.join(["langgraph-maker", "answer", question["id"], "--run-id", run_id, "--db", shown(db), *tenant])
    ways = ["--pick NUMBER", "--answer TEXT", "--retry", "--abort"][0 if question["candidates"] else 1 :]
    return "\n".join([*lines, f"  to answer: {command} {ways[0]} (or {', '.join(ways[1:])})"])


def _would_do(vote: Any) -> str:
    """Return what a vote would have the run do, and the state that would follow."""
    if isinstance(vote, dict) and {"action", "next_state"} <= vote.keys():
        return f"do {_shortened(vote['action'])}, then the state is {_shortened(vote['next_state'])}"
    return _shortened(vote)


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"


def read_tiers(name: Literal["none", "default", "human"], tiers: list[str]) -> LadderLike:
    """Return the ladder that `--ladder` and `--tier` ask for.

    Raises:
        ValueError: For an invalid tier, or both kinds of ladder.

    Example:
        >>> read_tiers("none", ["samples=30", "variants=0+1,temperature=0.8", "split", "human"])[1:]
        [Tier(k=None, samples=None, temperature=0.8, variants=[0, 1], model=None, carry=False), Split(), AskHuman()]
    """
    if name != "none" and tiers:
        raise ValueError(f"give either --ladder {name} or tiers of your own")
    if name != "none":
        return name
    return [*map(_tier, tiers)] or None


def _tier(text: str) -> Tier | Split | AskHuman:
    if text in {"split", "human"}:
        return Split() if text == "split" else AskHuman()
    given: dict[str, Any] = {}
    for setting in text.split(","):
        key, equals, value = setting.partition("=")
        if key not in _READ or key in given or not equals:
            raise ValueError(
                f'a tier is "split", "human", or KEY=VALUE,… with {", ".join(_READ)}, each once, not {text!r}'
            )
        try:
            given[key] = _READ[key](value)
        except ValueError:
            raise ValueError(f"a tier's {key} is not {value!r}") from None
    return Tier(**given)


def _variants(text: str) -> Any:
    return "all" if text == "all" else [int(variant) for variant in text.split("+")]


def _models(text: str) -> Any:
    return text.split("+") if "+" in text else text


_READ: dict[str, Any] = {
    "k": int,
    "samples": int,
    "temperature": float,
    "variants": _variants,
    "model": _models,
    "carry": lambda text: {"true": True, "false": False}.get(text, text),
}
