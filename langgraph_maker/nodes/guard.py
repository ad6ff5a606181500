"""`guard`: turn each raw response into a vote or a red flag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_maker.ballot import canonical, plain
from langgraph_maker.errors import NotJSONError
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.red_flags import AnyOf, RedFlag, RuleLike, TokenLimit, Truncated
from langgraph_maker.state import BallotState, Verdict

__all__ = ["DEFAULT_RED_FLAGS", "guard_node"]

DEFAULT_RED_FLAGS = TokenLimit(750) | Truncated()
"""The paper's cap of 750 output tokens (section 4.3), and responses that were cut off."""


def guard_node(
    *,
    parse: Callable[[str], Any],
    key: Callable[[Any], str] = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
) -> Runnable[VotingState, dict[str, Any]]:
    """Judge every response of the round: flagged ones are counted and discarded, never repaired.

    A `RedFlag` that `parse`, `validate`, `key` or a rule raises or returns is data. So is a `ValueError` of `parse`,
    `validate` or `key` (JSON and validation errors among them) and a text nested too deeply for them:
    reason "malformed", and a vote that cannot be kept (see `ballot.plain`). Any other exception is a bug there and
    surfaces, a vote of a type that is not JSON among them.

    Args:
        parse: ψ, from a response's text to a vote, any JSON value.
        key: Which votes are equal: those with equal keys.
        validate: From a subtask's state and a vote to a flag, or None.
        red_flags: A rule on the response as it came; None for no rule.
    """
    role = _Guard(parse, key, validate, red_flags if red_flags is not None else AnyOf())
    return Node("guard", role.guard)


@dataclass(frozen=True)
class _Guard:
    parse: Callable[[str], Any]
    key: Callable[[Any], str]
    validate: Callable[[Any, Any], RedFlag | None] | None
    rules: RuleLike

    def guard(self, state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        return {
            "ballots": [self.judge(ballot) if ballot["responses"] else ballot for ballot in state["ballots"]],
        }

    def judge(self, ballot: BallotState) -> BallotState:
        state, usage = ballot["state"], ballot["usage"].copy()
        seen: dict[str, Verdict] = {}  # answers agree more often than not
        verdicts = []
        for response in ballot["responses"]:
            if used := response.usage_metadata:
                usage["input_tokens"] += used.get("input_tokens") or 0
                usage["output_tokens"] += used.get("output_tokens") or 0
            text = response.text
            if flag := self.flag(response, text):
                verdicts.append(_flagged(flag))
                continue
            if text not in seen:
                seen[text] = self.read(text, state)
            verdicts.append(seen[text])
        return {**ballot, "usage": usage, "verdicts": verdicts, "responses": []}

    def flag(self, response: AIMessage, text: str) -> RedFlag | None:
        try:
            flag = _checked(self.rules(response))
        except RedFlag as raised:
            flag = raised
        if flag is None and not text.strip():
            return RedFlag("empty", "no text in the response")
        return flag

    def read(self, text: str, state: Any) -> Verdict:
        try:
            vote = self.parse(text)
            flag = vote if isinstance(vote, RedFlag) else self.validate and _checked(self.validate(state, vote))
            return _flagged(flag) if flag else {"key": self.key(vote), "vote": plain(vote)}
        except RedFlag as flag:
            return _flagged(flag)
        except NotJSONError as error:
            raise TypeError(f"parse returned what is no vote: {error}") from error
        except (ValueError, RecursionError) as error:
            return _flagged(RedFlag("malformed", f"{type(error).__name__}: {error}"))


def _checked(flag: object) -> RedFlag | None:
    if flag is None or isinstance(flag, RedFlag):
        return flag
    raise TypeError(f"a rule or validate returned {flag!r}: what it returns is a RedFlag or None")


def _flagged(flag: RedFlag) -> Verdict:
    return {"flag": {"reason": flag.reason, "detail": flag.detail[:200]}}
