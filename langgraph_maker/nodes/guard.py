"""`guard`: turn each raw response into a vote or a red flag."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_maker.ballot import canonical
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.red_flags import AnyOf, RedFlag, RuleLike, TokenLimit, Truncated
from langgraph_maker.state import BallotState, Usage, Verdict, total_usage

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
    reason "malformed". Any other exception is a bug there and surfaces.

    Args:
        parse: ψ, from a response's text to a vote, any JSON value.
        key: Which votes are equal: those with equal keys.
        validate: From a subtask's state and a vote to a flag, or None.
        red_flags: A rule on the response as it came; None for no rule.
    """
    rules = red_flags if red_flags is not None else AnyOf()

    def read(text: str, state: Any) -> Verdict:
        try:
            vote = parse(text)
            flag = vote if isinstance(vote, RedFlag) else validate and validate(state, vote)
            return _flagged(flag) if flag else {"key": key(vote), "vote": vote}
        except RedFlag as flag:
            return _flagged(flag)
        except (ValueError, RecursionError) as error:
            return _flagged(RedFlag("malformed", f"{type(error).__name__}: {error}"))

    def judge(ballot: BallotState) -> BallotState:
        if not (responses := ballot["responses"]):
            return ballot
        read_once = cache(partial(read, state=ballot["state"]))  # answers agree more often than not
        flags = [_flag(rules, response) for response in responses]
        verdicts = [
            _flagged(flag) if flag else read_once(response.text)
            for flag, response in zip(flags, responses, strict=True)
        ]
        usage = total_usage([ballot["usage"], *map(_usage, responses)])
        return {**ballot, "usage": usage, "verdicts": verdicts, "responses": []}

    def guard(state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        return {"ballots": [judge(ballot) for ballot in state["ballots"]]}

    return Node("guard", guard)


def _flag(rules: RuleLike, response: AIMessage) -> RedFlag | None:
    try:
        flag = rules(response)
    except RedFlag as raised:
        flag = raised
    if flag is None and not response.text.strip():
        return RedFlag("empty", "no text in the response")
    return flag


def _flagged(flag: RedFlag) -> Verdict:
    return {"flag": {"reason": flag.reason, "detail": flag.detail[:200]}}


def _usage(response: AIMessage) -> Usage:
    usage = response.usage_metadata
    return {
        "input_tokens": usage["input_tokens"] if usage else 0,
        "output_tokens": usage["output_tokens"] if usage else 0,
    }
