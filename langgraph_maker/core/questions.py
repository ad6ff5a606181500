"""The questions that a human is asked about a step that no tier decides, and the form of an answer."""

from __future__ import annotations

import json
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from langgraph_maker.core.ballot import ranked
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.state import BallotState, VoteCount

__all__ = ["Form", "Question", "check_form", "question_of", "ranking"]


class Form(TypedDict, total=False):
    """A human's answer to a `Question`: one of these four keys.

    Attributes:
        pick: The number of a candidate, from 0.
        answer: Another answer: the text of one, as a model would word it, or a vote that can be worded so.
        retry: True to let the vote begin again, in the first tier.
        abort: True to give the step up: it is unresolved then, and tried again where the run is entered again.
    """

    pick: int
    answer: Any
    retry: Literal[True]
    abort: Literal[True]


class Question(TypedDict):
    """What is asked: which of the `candidates` is right for `state`, or what else is.

    `why` is the reason why votes did not converge, `problem` what was wrong with the last answer, if there was one.
    Answer with a `Form`, of which `form` is the JSON schema.
    """

    id: str
    state: Any
    why: str
    candidates: list[VoteCount]
    samples: int
    form: dict[str, Any]
    problem: NotRequired[str]


def ranking(ballot: BallotState) -> list[VoteCount]:
    """Return the votes of a ballot with their counts, the most frequent first."""
    counts, votes = ballot["counts"], ballot["votes"]
    return [{"vote": votes[key], "count": counts[key]} for key in ranked(counts)]


def question_of(ballot: BallotState) -> Question:
    """Return the question about a ballot, its candidates with the most frequent first."""
    candidates = ranking(ballot)
    ladder = ballot.get("ladder")
    question: Question = {
        "id": ballot["id"],
        "state": ballot["state"],
        "why": ladder["why"] if ladder else "",
        "candidates": candidates,
        "samples": ballot["samples"],
        "form": _form(len(candidates)),
    }
    if ladder and ladder["problem"]:
        question["problem"] = ladder["problem"]
    return question


def check_form(answer: Any, candidates: int) -> None:
    """Refuse an answer that is no `Form` for a question with so many candidates.

    Raises:
        ValueError: With what to give.
    """
    form = _read_form(answer)
    problem = form if isinstance(form, str) else _no_candidate(form["pick"], candidates) if "pick" in form else ""
    if problem:
        raise ValueError(problem)


def _no_candidate(pick: object, candidates: int) -> str:
    if isinstance(pick, int) and not isinstance(pick, bool) and 0 <= pick < candidates:
        return ""
    there = f"0 to {candidates - 1}" if candidates else "none: give an answer instead"
    return f"there is no candidate {excerpt(pick)}: there is {there}"


def _read_form(answer: Any) -> Form | str:
    """Return the form in an answer, or what is wrong with it."""
    form = answer
    if isinstance(answer, str):  # forms of some clients send JSON as text
        try:
            form = json.loads(answer)
        except (ValueError, RecursionError):
            form = None
    if not isinstance(form, dict):
        return _no_form(answer)
    given = [name for name, value in form.items() if value is not None and value is not False and value != ""]
    if not given and "answer" in form:  # null, false or "" is the answer, and not a field that was left empty
        given = ["answer"]
    typed = all(form[name] is True for name in given if name in {"retry", "abort"})
    if len(given) != 1 or not typed or form.keys() - Form.__annotations__.keys():
        return _no_form(answer)
    return cast("Form", {given[0]: form[given[0]]})


def _no_form(answer: Any) -> str:
    return (
        'an answer is one of {"pick": …}, {"answer": …}, {"retry": true} and {"abort": true}, not '
        f"{excerpt(answer)}"
    )


def _form(candidates: int) -> dict[str, Any]:
    """Return the JSON schema of a `Form` with so many candidates."""
    pick = {"type": "integer", "minimum": 0, "maximum": candidates - 1, "title": "Pick", "description": "a candidate"}
    return {
        "title": "Answer",
        "description": "Give one of these.",
        "type": "object",
        "properties": {
            **({"pick": pick} if candidates else {}),
            "answer": {
                "type": ["string", "number", "boolean", "object", "array", "null"],
                "title": "Answer",
                "description": "another answer, worded as a model would",
            },
            "retry": {"type": "boolean", "title": "Retry", "description": "let the vote begin again"},
            "abort": {"type": "boolean", "title": "Abort", "description": "give the step up"},
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
