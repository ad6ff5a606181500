"""Red flags: signs that a response is not worth a vote (MAKER, section 3.3).

A flagged response is discarded and sampled again: never counted, never repaired, never fed back. A flag rule
is any callable from a response to `RedFlag | None`; rules combine with `|`, and the first that fires names the
reason.

    >>> from langchain_core.messages import AIMessage
    >>> rule = TokenLimit(750) | Truncated() | Matches("as an AI")
    >>> rule(AIMessage("As an AI, I cannot move disks."))
    RedFlag('matches', "'As an AI' matches 'as an AI'")
    >>> rule(AIMessage("move = [1, 0, 1]")) is None
    True
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage

from langgraph_maker.core.endings import cut_short
from langgraph_maker.core.foreign import excerpt, finite_count

__all__ = ["AnyOf", "Matches", "RedFlag", "Rule", "TokenLimit", "Truncated", "check_rule", "each_rule", "output_tokens"]


class RedFlag(Exception):  # noqa: N818 - a flag is a verdict on a response, not an error of the program
    """Why a response does not count: raised or returned by `parse`, `validate` and flag rules.

    Args:
        reason: A short, stable word that reports group by, such as "token_limit".
        detail: What was seen, for people.

    Example:
        >>> flag = RedFlag("not_a_move", "peg 7")
        >>> flag.reason, flag.detail
        ('not_a_move', 'peg 7')
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        if not isinstance(reason, str) or not isinstance(detail, str):
            raise TypeError(
                f"a red flag has a reason and a detail in words, not {excerpt(reason)} and {excerpt(detail)}"
            )
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


RuleLike: TypeAlias = Callable[[AIMessage], RedFlag | None]
"""What counts as a flag rule: any callable from a response to a flag or None. It may also raise the flag."""


class Rule(ABC):
    """A flag rule that combines with any other, or with a plain callable, through `|`."""

    @abstractmethod
    def __call__(self, response: AIMessage) -> RedFlag | None:
        """Return the flag that `response` raises, or None."""

    def __or__(self, other: RuleLike) -> AnyOf:
        return AnyOf(*_rules(self), *_rules(other))

    def __ror__(self, other: RuleLike) -> AnyOf:
        return AnyOf(*_rules(other), *_rules(self))


class AnyOf(Rule):
    """The rules in order; the first that fires decides. `AnyOf()` flags nothing.

    Raises:
        TypeError: When something given is not callable.
    """

    def __init__(self, *rules: RuleLike) -> None:
        for rule in rules:
            check_rule(rule)
        self.rules = rules

    def __call__(self, response: AIMessage) -> RedFlag | None:
        """Return the first flag that fires, or None."""
        for rule in self.rules:
            if (flag := rule(response)) is not None:
                return flag
        return None

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.rules)) or "AnyOf()"


def check_rule(rule: object) -> None:
    """Refuse what is no flag rule.

    Raises:
        TypeError: With what to give instead.
    """
    if isinstance(rule, type) and issubclass(rule, Rule):
        raise TypeError(f"{rule.__name__} is a class of flag rules: give one of them, such as {rule.__name__}(…)")
    if isinstance(rule, (list, tuple, set, frozenset)):
        raise TypeError(
            f"flag rules are combined with |, as TokenLimit(750) | Truncated(), not in a {type(rule).__name__}"
        )
    if isinstance(rule, int) and not isinstance(rule, bool):
        raise TypeError(f"a flag rule is not a number: give TokenLimit({excerpt(rule)}), if that is the limit you mean")
    if not callable(rule):
        raise TypeError(f"a red flag rule is a callable (response) -> RedFlag | None, not {excerpt(rule)}")


def each_rule(rule: RuleLike | None) -> list[RuleLike]:
    """Return the single rules in a combination of them.

    Example:
        >>> each_rule(TokenLimit(750) | Truncated()), each_rule(None)
        ([TokenLimit(limit=750), Truncated()], [])
    """
    if isinstance(rule, AnyOf):
        return [inner for one in rule.rules for inner in each_rule(one)]
    return [] if rule is None else [rule]


def _rules(rule: RuleLike) -> tuple[RuleLike, ...]:
    return rule.rules if isinstance(rule, AnyOf) else (rule,)


@dataclass(frozen=True)
class TokenLimit(Rule):
    """Flags a response longer than `limit` output tokens: models that ramble are models that err.

    Tokens are the provider's own count where it gives one, less a reasoning model's thoughts where it tells them
    apart, else the estimate of `output_tokens`. Ask the provider for more than `limit` (this package asks for
    limit + 100), or the flag can never fire.

    Raises:
        ValueError: When `limit` is not a whole number of at least 1.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> TokenLimit(10)(AIMessage("word " * 100))
        RedFlag('token_limit', '125 output tokens, limit 10')
    """

    limit: int

    def __post_init__(self) -> None:
        if not isinstance(self.limit, int) or isinstance(self.limit, bool) or self.limit < 1:
            raise ValueError(f"a token limit is a whole number of at least 1, not {excerpt(self.limit)}")

    def __call__(self, response: AIMessage) -> RedFlag | None:
        """Return a `token_limit` flag when the response is too long."""
        if (tokens := output_tokens(response)) > self.limit:
            return RedFlag("token_limit", f"{tokens} output tokens, limit {self.limit}")
        return None


@dataclass(frozen=True)
class Truncated(Rule):
    """Flags a response that is not known to be whole: its finish reason is none of a whole one, see `endings`.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> Truncated()(AIMessage("move = [1,", response_metadata={"finish_reason": "length"}))
        RedFlag('truncated', 'length')
    """

    def __call__(self, response: AIMessage) -> RedFlag | None:
        """Return a `truncated` flag that names the ending, or None."""
        ending = cut_short(response)
        return None if ending is None else RedFlag("truncated", ending)


class Matches(Rule):
    """Flags a response whose text matches a pattern (`re.search`, case-insensitive unless compiled).

    Only the first 100,000 characters are searched, so that a hostile megabyte costs bounded time; the
    pattern itself is trusted, so keep nested repetition out of it.

    Raises:
        ValueError: When the pattern does not compile.
        TypeError: When it is no pattern.
    """

    def __init__(self, pattern: str | re.Pattern[str]) -> None:
        if not isinstance(pattern, (str, re.Pattern)):
            raise TypeError(f"a pattern is a text or a compiled regular expression, not {excerpt(pattern)}")
        try:
            self.pattern = re.compile(pattern, re.IGNORECASE) if isinstance(pattern, str) else pattern
        except re.error as error:
            raise ValueError(f"{excerpt(pattern)} is not a regular expression: {error}") from error

    def __call__(self, response: AIMessage) -> RedFlag | None:
        """Return a `matches` flag when the pattern occurs in the text."""
        if found := self.pattern.search(response.text, 0, 100_000):
            return RedFlag("matches", f"{found.group()[:80]!r} matches {self.pattern.pattern!r}")
        return None

    def __repr__(self) -> str:
        return f"Matches({self.pattern.pattern!r})"


def output_tokens(response: AIMessage) -> int:
    """Return the tokens of what a response says: the provider's count less that of its reasoning, else an estimate.

    The estimate is a quarter of the text's UTF-8 bytes, rounded up: close for English, digits and code, and high
    for other scripts, where it errs towards flagging.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> output_tokens(AIMessage("twelve chars"))
        3
        >>> thought = {"input_tokens": 9, "output_tokens": 1400, "total_tokens": 1409}
        >>> output_tokens(AIMessage("4", usage_metadata=thought | {"output_token_details": {"reasoning": 1398}}))
        2
    """
    usage: Mapping[str, Any] = response.usage_metadata or {}
    details = usage.get("output_token_details")
    counted = finite_count(usage.get("output_tokens")) or 0
    reasoned = (finite_count(details.get("reasoning")) or 0) if isinstance(details, Mapping) else 0
    if visible := counted - (reasoned if reasoned <= counted else 0):  # some count their reasoning beside the output
        return visible
    return -(-len(response.text.encode("utf-8", "surrogatepass")) // 4)


def _count(value: object) -> int:
    """Return a number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
