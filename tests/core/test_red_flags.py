"""Red flags compose, measure tokens, and survive hostile text."""

import re
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langgraph_maker.core.red_flags import AnyOf, Matches, RedFlag, TokenLimit, Truncated, output_tokens


def counted(text: str, output: int) -> AIMessage:
    return AIMessage(text, usage_metadata={"input_tokens": 1, "output_tokens": output, "total_tokens": output + 1})


class TestTokenLimit:
    def test_counts_tokens_as_the_provider_does(self) -> None:  # lesson 13
        assert TokenLimit(750)(counted("x" * 100_000, 750)) is None
        flag = TokenLimit(750)(counted("short", 751))
        assert flag is not None
        assert (flag.reason, flag.detail) == ("token_limit", "751 output tokens, limit 750")

    def test_estimates_where_the_provider_is_silent(self) -> None:
        assert output_tokens(AIMessage("x" * 400)) == 100
        assert TokenLimit(99)(AIMessage("x" * 400)) is not None
        assert TokenLimit(100)(AIMessage("x" * 400)) is None

    def test_estimate_survives_lone_surrogates(self) -> None:
        assert output_tokens(AIMessage("\ud800" * 4)) == 3

    @pytest.mark.parametrize("limit", [0, -1, 2.5, True, "750"])
    def test_bad_limits_are_refused(self, limit: Any) -> None:
        with pytest.raises(ValueError, match="token limit"):
            TokenLimit(limit)


class TestTruncated:
    @pytest.mark.parametrize(
        "metadata",
        [
            {"finish_reason": "length"},
            {"stop_reason": "max_tokens"},
            {"finish_reason": "MAX_TOKENS"},
            {"stopReason": "max_tokens"},
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            {"status": "incomplete", "incomplete_details": None},
        ],
    )
    def test_cut_off(self, metadata: dict[str, Any]) -> None:
        flag = Truncated()(AIMessage("x", response_metadata=metadata))
        assert flag is not None
        assert flag.reason == "truncated"

    @pytest.mark.parametrize(
        "metadata",
        [
            {},
            {"finish_reason": "stop"},
            {"finish_reason": None},
            {"stop_reason": "end_turn"},
            {"stopReason": "end_turn"},
            {"status": "completed", "incomplete_details": None},
        ],
    )
    def test_whole(self, metadata: dict[str, Any]) -> None:
        assert Truncated()(AIMessage("x", response_metadata=metadata)) is None


class TestMatches:
    def test_ignores_case_unless_compiled(self) -> None:
        assert Matches("sorry")(AIMessage("SORRY, I cannot")) is not None
        assert Matches(re.compile("sorry"))(AIMessage("SORRY, I cannot")) is None

    def test_a_broken_pattern_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not a regular expression"):
            Matches("(")


class TestComposition:
    def test_the_first_that_fires_names_the_reason(self) -> None:
        rules = TokenLimit(10) | Truncated() | Matches("x")
        response = AIMessage("x" * 100, response_metadata={"finish_reason": "length"})
        assert str(rules(response)).startswith("token_limit")
        assert str((Truncated() | TokenLimit(10))(response)).startswith("truncated")
        assert rules(AIMessage("short")) is None

    def test_plain_callables_combine_on_either_side(self) -> None:
        def shouting(response: AIMessage) -> RedFlag | None:
            return RedFlag("shouting") if response.text.isupper() else None

        for rules in (Truncated() | shouting, shouting | Truncated(), AnyOf(shouting)):
            assert str(rules(AIMessage("HELLO"))) == "shouting"
            assert rules(AIMessage("hello")) is None

    def test_combining_keeps_one_flat_list(self) -> None:
        rules = (TokenLimit(1) | Truncated()) | (Matches("a") | Matches("b"))
        assert len(rules.rules) == 4
        assert repr(rules) == "TokenLimit(limit=1) | Truncated() | Matches('a') | Matches('b')"

    def test_what_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"^a flag rule is not a number: give TokenLimit\(750\)"):
            Truncated() | 750  # type: ignore[operator]


@pytest.mark.parametrize("bad", [(5,), ("r", {}), (None,)])
def test_a_flag_is_words(bad: Any) -> None:
    with pytest.raises(TypeError, match="in words"):
        RedFlag(*bad)


def test_a_pattern_is_a_pattern() -> None:
    with pytest.raises(TypeError, match="a pattern is"):
        Matches(5)  # type: ignore[arg-type]
