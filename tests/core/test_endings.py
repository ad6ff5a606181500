"""Which responses are whole: an allow-list of endings, and what is withheld."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langgraph_maker import create_voting_graph
from langgraph_maker.core.endings import WHOLE, cut_short, withheld
from langgraph_maker.core.red_flags import Truncated
from langgraph_maker.nodes.ladder import Tier
from langgraph_maker.testing import ScriptedChatModel

GEMINI = (
    "MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII MALFORMED_FUNCTION_CALL IMAGE_SAFETY"
    " UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS FINISH_REASON_UNSPECIFIED UNKNOWN_99"
)


def said(metadata: dict[str, Any]) -> AIMessage:
    return AIMessage("move = [1, 0", response_metadata=metadata)


class TestCutShort:
    @pytest.mark.parametrize("ending", sorted({ending for endings in WHOLE.values() for ending in endings}))
    @pytest.mark.parametrize("place", ["finish_reason", "stop_reason", "done_reason", "stopReason"])
    def test_whole_endings_of_any_client_in_any_case(self, ending: str, place: str) -> None:
        assert cut_short(said({place: ending})) is cut_short(said({place: ending.upper()})) is None

    @pytest.mark.parametrize(
        ("place", "endings"),
        [
            ("finish_reason", "length content_filter insufficient_system_resource error abort repetition model_length"),
            ("stop_reason", "refusal pause_turn max_tokens model_context_window_exceeded compaction"),
            ("stopReason", "malformed_model_output malformed_tool_use guardrail_intervened content_filtered"),
            ("finish_reason", GEMINI),
            ("finish_reason", "MAX_TOKENS ERROR ERROR_LIMIT TIMEOUT USER_CANCEL sensitive network_error not_finished"),
            ("done_reason", "length load unload"),
        ],
    )
    def test_any_other_is_flagged_and_named(self, place: str, endings: str) -> None:
        for ending in endings.split():
            flag = Truncated()(said({place: ending}))
            assert str(flag) == f"truncated: {ending}"

    @pytest.mark.parametrize("status", ["failed", "cancelled", "in_progress", "queued", "incomplete"])
    def test_a_response_that_did_not_complete(self, status: str) -> None:
        assert (cut_short(said({"status": status})) or "").startswith(status)

    def test_the_status_of_one_that_did(self) -> None:
        assert cut_short(said({"status": "completed", "incomplete_details": None, "model_provider": "openai"})) is None

    @pytest.mark.parametrize(
        ("provider", "whole", "cut"),
        [
            ("anthropic", "end_turn tool_use stop_sequence", "stop STOP completed eos"),
            ("google_genai", "STOP", "COMPLETE end_turn word"),
            ("bedrock_converse", "end_turn tool_use stop_sequence", "stop finish COMPLETE"),
            ("cohere", "COMPLETE TOOL_CALL STOP_SEQUENCE", "stop end_turn"),
            ("ollama", "stop", "eos end_turn"),
            ("deepseek", "stop tool_calls function_call", "eos end_turn"),
            ("together", "stop eos tool_calls", "end_turn COMPLETE"),
            ("openai", "stop tool_calls eos STOP end_turn COMPLETE", "length"),
            (None, "stop eos STOP end_turn COMPLETE", "length"),
            (["?"], "stop end_turn", "length"),
        ],
    )
    def test_a_client_of_one_provider_has_the_endings_of_that_one(self, provider: Any, whole: str, cut: str) -> None:
        for ending in whole.split():
            assert cut_short(said({"finish_reason": ending, "model_provider": provider})) is None, ending
        for ending in cut.split():
            assert cut_short(said({"finish_reason": ending, "model_provider": provider})) == ending

    def test_endings_that_a_stream_says_more_than_once(self) -> None:
        assert cut_short(said({"finish_reason": "STOPSTOP"})) is None
        assert cut_short(said({"finish_reason": "STOPMAX_TOKENS"})) == "STOPMAX_TOKENS"

    @pytest.mark.parametrize("provider", ["ollama", "anthropic", "openai", "google_genai"])
    def test_a_client_that_always_says_how_a_response_ended_did_not_this_time(self, provider: str) -> None:
        assert cut_short(said({"model_provider": provider, "finish_reason": None})) == "no finish reason"

    def test_a_model_of_ones_own_need_not_say(self) -> None:
        assert cut_short(said({})) is cut_short(said({"finish_reason": None})) is None

    def test_endings_that_are_no_text(self) -> None:
        assert cut_short(said({"finish_reason": 2})) == "2"
        assert cut_short(said({"finish_reason": "x" * 10**6})) == "x" * 100


class TestWithheld:
    @pytest.mark.parametrize(
        "refused",
        [
            AIMessage("", additional_kwargs={"refusal": "I can't."}),
            AIMessage([{"type": "refusal", "refusal": "I can't."}]),
            AIMessage([{"type": "text", "text": "7"}, {"type": "refusal", "refusal": "I can't."}]),
        ],
    )
    def test_refusals_as_providers_mark_them(self, refused: AIMessage) -> None:
        assert withheld(refused) == ("refusal", "I can't.")

    def test_a_prompt_that_gemini_blocked(self) -> None:
        blocked = AIMessage("", response_metadata={"prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}})
        assert withheld(blocked) == ("refusal", "the prompt was blocked: PROHIBITED_CONTENT")
        assert withheld(AIMessage("7", response_metadata={"prompt_feedback": {"block_reason": 0}})) is None


REFUSED = AIMessage("I can't.", additional_kwargs={"refusal": "I can't."})


def decided(answers: list[Any], **options: Any) -> Any:
    model = ScriptedChatModel(answers=answers)
    graph = create_voting_graph(model, prompt=str, parse=str, **options).compile()
    [decision] = graph.invoke({"subtasks": [{"id": "q", "state": "?"}]})["decisions"]
    return decision


class TestRefusals:
    def test_never_win_whatever_red_flags_there_are(self) -> None:
        decision = decided([REFUSED], red_flags=None)
        assert (decision["status"], decision["vote"], set(decision["flags"])) == ("unresolved", None, {"refusal"})

    @pytest.mark.parametrize(("k", "samples"), [(1, 5), (3, 6), (7, 7)])
    def test_a_ballot_of_refusals_ends_and_does_not_draw_a_hundred_more(self, k: int, samples: int) -> None:
        decision = decided([REFUSED], k=k)
        assert (decision["samples"], decision["flags"]) == (samples, {"refusal": samples})
        assert decision["last_flag"] == "refusal: I can't."

    def test_one_now_and_then_is_outvoted(self) -> None:
        decision = decided([REFUSED, REFUSED, "A", REFUSED, "A", REFUSED, REFUSED, "A"], k=3)
        assert (decision["vote"], decision["flags"]) == ("A", {"refusal": 5})

    def test_the_next_tier_begins_anew(self) -> None:
        better = ScriptedChatModel(answers=["A"])
        decision = decided([REFUSED], ladder=[Tier(), Tier(model=better)])
        assert (decision["vote"], decision["tier"], len(better.calls)) == ("A", 1, 3)
