"""Simulated models: what they say, how often they err, and that every run repeats. Intervals are 99.9 % binomial."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from numpy.typing import NDArray

from langgraph_maker import simulation, theory
from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.red_flags import RedFlag, TokenLimit, Truncated
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import Task, Vote
from langgraph_maker.simulation.answers import GroupedQuestion
from langgraph_maker.simulation.chat_model import (
    PROFILES,
    Profile,
    SimulatedChatModel,
    SimulatedQuestion,
    Simulation,
    read_spec,
    simulated_sampler,
)
from langgraph_maker.tasks import TowersOfHanoi

MINI = PROFILES["gpt-4.1-mini"]
TASK = TowersOfHanoi(disks=5)
REPAIRING = TowersOfHanoi(disks=5, repairing=True)
Prompt = list[BaseMessage]


def path(task: TowersOfHanoi) -> Iterable[Any]:
    state = task.initial_state()
    for _ in range(task.steps or 0):
        yield state
        state = task.advance(state, task.oracle(state))


PROMPTS = [TASK.prompt(state) for state in path(TASK)]
START = PROMPTS[0]


def questions(
    profile: Profile, task: Task = TASK, *, seed: int = 0, steps: int = 31
) -> list[SimulatedQuestion | GroupedQuestion]:
    model = Simulation(task, profile, seed)
    return [model.ask(prompt) for prompt in PROMPTS[:steps]]


def steps_of(profile: Profile) -> Iterable[tuple[Any, SimulatedQuestion | GroupedQuestion]]:
    return zip(path(TASK), questions(profile), strict=True)


def say(question: SimulatedQuestion | GroupedQuestion, number: int = 0, temperature: float | None = 0.1) -> AIMessage:
    text, tokens = question.draw(number, temperature)
    return AIMessage(text, usage_metadata={"input_tokens": 1, "output_tokens": tokens, "total_tokens": tokens + 1})


def verdict(text: str, right: Vote, task: Task = TASK) -> str:
    try:
        return "right" if task.parse(text) == right else "wrong"
    except RedFlag:
        return "flagged"


def verdicts(profile: Profile, draws: int, seed: int = 0) -> list[str]:
    """What the parser makes of `draws` answers to each step, all answers to one step after another."""
    rights = [TASK.oracle(state) for state in path(TASK)]
    asked = zip(questions(profile, seed=seed), rights, strict=True)
    return [verdict(question.draw(number, 0.1).text, right) for question, right in asked for number in range(draws)]


def assert_share(count: int, total: int, expected: float) -> None:
    assert abs(count / total - expected) <= 3.29 * math.sqrt(expected * (1 - expected) / total)


def ask(sampler: Any, requests: Sequence[Request]) -> list[AIMessage]:
    return list(asyncio.run(sampler(requests)))


def replies(result: LLMResult) -> list[AIMessage]:
    generations = [one for answers in result.generations for one in answers]
    messages = [one.message for one in generations if isinstance(one, ChatGeneration)]
    assert len(messages) == len(generations)
    return [message for message in messages if isinstance(message, AIMessage)]


def tokens(reply: AIMessage) -> tuple[int, int]:
    assert reply.usage_metadata is not None
    return reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"]


# what they say


def test_the_public_names_exist() -> None:
    assert all(hasattr(simulation, name) for name in simulation.__all__)


def test_a_perfect_model_answers_every_step_in_the_task_s_own_format() -> None:
    assert Counter(verdicts(Profile(), draws=2)) == {"right": 62}


def test_the_answer_is_to_the_state_that_the_text_shows() -> None:
    state = {"previous": [3, 0, 1], "pegs": [[5, 4], [3], [2, 1]]}
    (question,) = [Simulation(TASK, Profile()).ask(TASK.prompt(state))]
    assert TASK.parse(question.draw(0, 0).text) == TASK.oracle(state)


def test_a_prompt_that_does_not_show_a_state_is_refused() -> None:
    with pytest.raises(ValueError, match="not a prompt of TowersOfHanoi"):
        SimulatedChatModel(task=TASK).invoke("Which disk now?")


def test_a_state_without_an_answer_gets_one_that_no_parser_reads() -> None:
    stuck = TASK.prompt({"previous": [1, 0, 1], "pegs": [[1, 2], [3, 4, 5], []]})
    for profile in (Profile(), Profile(error=1), Profile(flag=1), Profile(hard=1, confusion=1)):
        for task in (TASK, REPAIRING):
            with pytest.raises(RedFlag):
                task.parse(Simulation(TASK, profile).ask(stuck).draw(0, 0.1).text)


def test_wrong_answers_are_other_legal_moves_or_right_moves_with_a_wrong_next_state() -> None:
    seen = set()
    for state, question in zip(path(TASK), questions(Profile(error=1)), strict=True):
        right, vote = TASK.oracle(state), TASK.parse(question.draw(0, 0.1).text)
        assert vote != right
        if vote["action"] == right["action"]:
            seen.add("wrong next state")
        else:
            disk, start, end = vote["action"]
            assert state["pegs"][start][-1] == disk
            assert all(other > disk for other in state["pegs"][end])
            after = [list(peg) for peg in state["pegs"]]
            after[end].append(after[start].pop())
            assert vote["next_state"] == after
            seen.add("wrong move")
    assert seen == {"wrong move", "wrong next state"}


def test_a_malformed_answer_is_flagged_and_repairs_to_what_it_meant() -> None:
    for state, question in zip(path(TASK), questions(Profile(flag=1)), strict=True):
        text = question.draw(0, 0.1).text
        assert verdict(text, TASK.oracle(state)) == "flagged"
        assert REPAIRING.parse(text) == TASK.oracle(state)


# how often they err


@pytest.mark.parametrize(("error", "flag"), [(0.05, 0.0), (0.2, 0.3), (0.0, 0.1), (1.0, 0.5)])
def test_error_is_the_share_of_wrong_votes_and_flag_that_of_flagged_samples(error: float, flag: float) -> None:
    seen = Counter(verdicts(Profile(error=error, flag=flag), draws=1_000))
    valid = seen["right"] + seen["wrong"]
    assert_share(seen["flagged"], seen.total(), flag)
    assert_share(seen["wrong"], valid, error)


def test_no_ordinary_answer_of_the_default_length_meets_the_paper_s_cap() -> None:
    flags = [TokenLimit(750)(say(question, number)) for question in questions(Profile()) for number in range(1_000)]
    assert not any(flags)


def test_one_flagged_answer_in_four_is_long_as_well() -> None:
    flags = [TokenLimit(750)(say(question, n)) for question in questions(Profile(flag=1)) for n in range(300)]
    assert_share(sum(flag is not None for flag in flags), len(flags), 0.25)


def test_successive_samples_are_independent() -> None:
    seen = verdicts(Profile(error=0.5), draws=1_000)
    wrong = np.array([word == "wrong" for word in seen]).reshape(31, 1_000)
    for lag in (1, 2, 7):
        both = int((wrong[:, :-lag] & wrong[:, lag:]).sum())
        assert_share(both, 31 * (1_000 - lag), 0.25)


def test_steps_seeds_and_models_err_independently() -> None:
    base = Profile(error=0.5)
    drawn = [
        verdicts(base, draws=300),
        verdicts(base, draws=300, seed=1),
        verdicts(replace(base, name="another"), draws=300),
        verdicts(replace(base, flag=0.001), draws=300),
        verdicts(base, draws=300)[300:] + verdicts(base, draws=300)[:300],
    ]
    for other in drawn[1:]:
        both = sum(a == b == "wrong" for a, b in zip(drawn[0], other, strict=True))
        assert_share(both, 9_300, 0.25)


def test_a_price_changes_no_answer() -> None:
    assert verdicts(Profile(error=0.5), draws=9) == verdicts(Profile(error=0.5, output_price=3), draws=9)


@pytest.mark.parametrize("alternatives", [1, 2, 3, 50])
def test_wrong_answers_to_a_step_are_as_many_as_told(alternatives: int) -> None:
    for state, question in zip(path(TASK), questions(Profile(error=1, alternatives=alternatives)), strict=True):
        texts = Counter(question.draw(number, 0.1).text for number in range(200))
        expected = min(alternatives, len(TASK.wrong_votes(state)))
        assert len(texts) == expected
        assert all(abs(count - 200 / expected) < 4 * math.sqrt(200 / expected) for count in texts.values())


def test_flags_gather_on_some_steps_when_uneven() -> None:
    even, uneven = (
        np.array([[word == "flagged" for word in verdicts(profile, draws=200)]]).reshape(31, 200).mean(axis=1)
        for profile in (Profile(flag=0.1), Profile(flag=0.1, unevenness=5))
    )
    assert even.max() < 0.2
    assert uneven.max() > 0.35
    assert np.median(uneven) < 0.03


def test_lengths_are_log_normal_about_their_mean() -> None:
    profile = Profile(output_tokens=400, length_spread=0.3)
    drawn = np.array([question.draw(number, 0.1).tokens for question in questions(profile) for number in range(500)])
    assert drawn.mean() == pytest.approx(400, rel=0.01)
    assert np.log(drawn).std() == pytest.approx(0.3, rel=0.02)
    assert np.median(np.log(drawn)) == pytest.approx(np.log(drawn).mean(), abs=0.01)


# confused on hard steps


def test_a_confused_answer_is_flagged_and_repairs_to_the_same_wrong_answer_each_time() -> None:
    flags = TokenLimit(750) | (lambda response: _parse_flag(response.text))
    for state, question in zip(path(TASK), questions(Profile(hard=1, confusion=1, alternatives=3)), strict=True):
        answers = [say(question, number) for number in range(60)]
        assert all(flags(answer) for answer in answers)
        repaired = [REPAIRING.parse(answer.text) for answer in answers]
        assert repaired[0] != TASK.oracle(state)
        assert all(vote == repaired[0] for vote in repaired)


def _parse_flag(text: str) -> RedFlag | None:
    try:
        TASK.parse(text)
    except RedFlag as flag:
        return flag
    return None


def test_confused_answers_are_long_or_malformed_or_both() -> None:
    answers = [say(question, n) for question in questions(Profile(hard=1, confusion=1)) for n in range(300)]
    kinds = Counter((TokenLimit(750)(one) is not None, _parse_flag(one.text) is not None) for one in answers)
    assert_share(kinds[True, False], len(answers), 0.5)
    assert_share(kinds[False, True], len(answers), 0.25)
    assert_share(kinds[True, True], len(answers), 0.25)
    assert kinds[False, False] == 0


def test_a_long_answer_is_long_in_its_text_too() -> None:
    answers = [say(question, n) for question in questions(Profile(hard=1, confusion=1)) for n in range(20)]
    long = [answer for answer in answers if TokenLimit(750)(answer)]
    assert all(TokenLimit(700)(AIMessage(answer.text)) for answer in long)


def test_the_prompt_alone_decides_which_steps_are_hard() -> None:
    task = TowersOfHanoi(disks=12)
    prompts = [task.prompt(state) for state in path(task)]

    def hard(seed: int) -> list[bool]:
        model = Simulation(task, Profile(hard=0.1, confusion=1), seed)
        return [_flagged_by_cap_or_parser(task, say(model.ask(prompt))) for prompt in prompts]

    first = hard(seed=0)
    assert_share(sum(first), len(first), 0.1)
    assert hard(seed=1) == first


def _flagged_by_cap_or_parser(task: Task, answer: AIMessage) -> bool:
    return (
        TokenLimit(750)(answer) is not None or verdict(answer.text, {"action": 0, "next_state": 0}, task) == "flagged"
    )


def test_confusion_is_the_share_of_confused_samples_on_a_hard_step() -> None:
    for flag, flagged in ((0.0, 0.3), (0.5, 0.3 + 0.7 * 0.5)):
        profile = Profile(hard=1, confusion=0.3, flag=flag)
        answers = [say(question, n) for question in questions(profile) for n in range(500)]
        assert_share(sum(_flagged_by_cap_or_parser(TASK, answer) for answer in answers), len(answers), flagged)


# wrong in the same way again, without a flag

NINE = TowersOfHanoi(disks=9)


def wrong_steps(spec: str, *, seed: int = 0, variant: int = 0, temperature: float = 0.1) -> list[bool]:
    """At which steps of nine disks the first answer is wrong. None is flagged."""
    model = Simulation(NINE, read_spec(spec)[0], seed)
    rights = [NINE.oracle(state) for state in path(NINE)]
    asked = [model.ask(NINE.prompt(state, variant)) for state in path(NINE)]
    said = [verdict(one.draw(0, temperature).text, right, NINE) for one, right in zip(asked, rights, strict=True)]
    assert "flagged" not in said
    return [word == "wrong" for word in said]


def test_a_repeated_answer_is_one_wrong_vote_that_no_rule_flags() -> None:
    flags = TokenLimit(750) | Truncated() | (lambda response: _parse_flag(response.text))
    profile = Profile(hard=1, repeats=1, flag=0.5, alternatives=3)
    for state, question in zip(path(TASK), questions(profile), strict=True):
        answers = [say(question, number, temperature) for number in range(30) for temperature in (0.0, 0.1, 1.0)]
        assert not any(map(flags, answers))
        assert len({answer.text for answer in answers}) == 1
        assert TASK.parse(answers[0].text) != TASK.oracle(state)


@pytest.mark.parametrize(("confusion", "flagged"), [(0.0, 0.0), (0.5, 0.15), (1.0, 0.3)])
def test_repeats_is_the_share_of_repeated_samples_on_a_hard_step(confusion: float, flagged: float) -> None:
    profile = Profile(hard=1, repeats=0.7, confusion=confusion)
    answers = [(say(question, n), state) for state, question in steps_of(profile) for n in range(300)]
    thrown = [_flagged_by_cap_or_parser(TASK, answer) for answer, _ in answers]
    assert_share(sum(thrown), len(answers), flagged)
    wrong = [verdict(answer.text, TASK.oracle(state)) == "wrong" for answer, state in answers]
    assert_share(sum(w and not t for w, t in zip(wrong, thrown, strict=True)), len(answers), 0.7)
    assert profile.single_sample_error == pytest.approx(0.7 + flagged)


def test_at_temperature_0_a_hard_step_repeats_as_often() -> None:
    for temperature in (0.0, 0.1):
        wrong = wrong_steps("hard=1,confusion=0,repeats=0.7", temperature=temperature)
        assert_share(sum(wrong), len(wrong), 0.7)


def test_other_variants_and_other_models_have_other_hard_steps_and_other_seeds_the_same() -> None:
    spec = "hard=0.3,repeats=1"
    first = wrong_steps(spec)
    assert_share(sum(first), len(first), 0.3)
    assert wrong_steps(spec, seed=1) == first
    others = [wrong_steps(spec, variant=variant) for variant in range(1, NINE.variants)]
    others += [wrong_steps(f"{spec},{change}") for change in ("error=0.0001", "output_tokens=501")]
    for other in others:
        assert_share(sum(other), len(other), 0.3)
        assert_share(sum(a and b for a, b in zip(first, other, strict=True)), len(first), 0.09)


def test_voting_confirms_an_error_that_repeats() -> None:
    wrong = 0
    for state, question in steps_of(Profile(hard=1, repeats=0.7, confusion=0)):
        for start in range(0, 3_000, 300):
            ballot = Ballot(3)
            number = start
            while ballot.deficit:
                ballot.cast(TASK.parse(question.draw(number, 0.1).text))
                number += 1
            wrong += ballot.winner != TASK.oracle(state)
    assert_share(wrong, 310, 1 - 1 / (1 + (0.7 / 0.3) ** 3))


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        ("gpt-4.1-mini", "de4f0c60dc9fbc17"),
        ("gpt-4.1-nano", "84030afe9a89376f"),
        ("error=0.2,flag=0.1", "a1b720f7eed856cb"),
        ("error=0.2,flag=0.1,repeats=0", "a1b720f7eed856cb"),
        ("hard=0.5,confusion=0.5,error=0.1,alternatives=3", "4f9fda9e3bb1dab6"),
    ],
)
def test_models_that_do_not_repeat_answer_as_ever(spec: str, digest: str) -> None:
    asked = questions(read_spec(spec)[0])
    said = [tuple(one.draw(number, warm)) for one in asked for number in range(20) for warm in (0, 0.1)]
    assert sha256(repr(said).encode()).hexdigest()[:16] == digest


# the same again, whatever the order


def test_at_temperature_0_the_answer_depends_on_the_prompt_alone() -> None:
    profile = Profile(error=0.5, flag=0.3)
    first, second = questions(profile, seed=0), questions(profile, seed=1)
    answers = [question.draw(0, 0.0) for question in first]
    assert [question.draw(7, 0) for question in second] == answers
    assert (
        len({verdict(answer.text, TASK.oracle(state)) for state, answer in zip(path(TASK), answers, strict=True)}) == 3
    )


@pytest.mark.parametrize("temperature", [0.1, 1.0, None])
def test_above_temperature_0_it_depends_on_the_seed_the_prompt_and_the_call(temperature: float | None) -> None:
    (one, other), (again, _), (reseeded, _) = (questions(Profile(error=0.5), seed=seed, steps=2) for seed in (0, 0, 1))
    drawn = [one.draw(number, temperature) for number in range(40)]
    assert drawn == [again.draw(number, temperature) for number in range(40)]
    assert drawn != [reseeded.draw(number, temperature) for number in range(40)]
    assert drawn != [other.draw(number, temperature) for number in range(40)]
    assert len({answer.text for answer in drawn}) == 2


def test_a_long_or_negative_seed_is_as_good_as_any() -> None:
    drawn = [questions(Profile(error=0.5), seed=seed)[0].draw(0, 0.1).tokens for seed in (-1, 1, 2**80)]
    assert len(set(drawn)) == 3


def test_a_changed_prompt_is_another_prompt() -> None:
    model = Simulation(TASK, Profile())
    start = model.ask(START)
    assert model.ask([START[0], HumanMessage(str(START[1].content))]).digest == start.digest
    assert model.ask([HumanMessage("Hello."), START[1]]).digest != start.digest


def test_concurrency_and_order_change_no_answer() -> None:
    def model() -> SimulatedChatModel:
        return SimulatedChatModel(task=TASK, model="error=0.3,flag=0.2", seed=3, temperature=0.1)

    def answers(given: Sequence[tuple[int, str]]) -> list[list[str]]:
        return [sorted(text for step, text in given if step == index) for index in range(31)]

    calls = [step for step in range(31) for _ in range(10)]
    shuffled = np.random.default_rng(0).permutation(calls).tolist()
    one_by_one, threaded, shared = model(), model(), model()
    in_order = [(step, one_by_one.invoke(PROMPTS[step]).text) for step in calls]
    with ThreadPoolExecutor(16) as pool:
        texts = pool.map(lambda step: threaded.invoke(PROMPTS[step]).text, shuffled)
        in_threads = list(zip(shuffled, texts, strict=True))

    async def gather() -> list[AIMessage]:
        return await asyncio.gather(*(shared.ainvoke(PROMPTS[step]) for step in shuffled))

    at_once = [(step, reply.text) for step, reply in zip(shuffled, asyncio.run(gather()), strict=True)]
    assert answers(in_order) == answers(in_threads) == answers(at_once)
    assert any(len(set(texts)) > 1 for texts in answers(in_order))


def test_calls_at_temperature_0_are_not_numbered() -> None:
    plain, mixed = (SimulatedChatModel(task=TASK, model="error=0.5", seed=2, temperature=0.1) for _ in range(2))
    mixed.invoke(START, temperature=0)
    assert [plain.invoke(START).text for _ in range(12)] == [mixed.invoke(START).text for _ in range(12)]


def test_copies_of_a_model_draw_from_one_sequence() -> None:
    model = SimulatedChatModel(task=TASK, model="error=0.5", seed=2)
    expected = replies(SimulatedChatModel(task=TASK, model="error=0.5", seed=2).generate([START], n=12))
    copies = [
        model.model_copy(update={"temperature": 0.1, "disable_streaming": True, "cache": False}) for _ in range(4)
    ]
    drawn = [copies[index % 4].invoke(START) for index in range(12)]
    assert [reply.text for reply in drawn] == [reply.text for reply in expected]
    assert [reply.usage_metadata for reply in drawn] == [reply.usage_metadata for reply in expected]


def test_the_count_of_calls_is_kept_for_the_prompts_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph_maker.simulation.chat_model.REMEMBERED", 2)
    model = SimulatedChatModel(task=TASK, seed=1)
    first = model.invoke(START).usage_metadata
    kept = [model.invoke(PROMPTS[step]).usage_metadata for step in (1, 0, 2, 0)]
    assert first not in kept
    model.batch([PROMPTS[step] for step in (3, 4, 5)])
    assert len(model._calls) == 2
    assert model.invoke(START).usage_metadata == first


# a sampler, as what "sim:" strings become


@pytest.mark.parametrize("spec", ["sim:gpt-4.1-mini", "sim:error=0.3,flag=0.3,hard=0.3"])
def test_the_sampler_and_the_chat_model_give_the_same_answers(spec: str) -> None:
    sampler = simulated_sampler(spec, TASK, seed=4)
    model = SimulatedChatModel(task=TASK, model=spec, seed=4, temperature=0.1)
    sampled = ask(sampler, [Request(prompt, 0.1, "a", number) for number in range(5) for prompt in PROMPTS])
    invoked = [model.invoke(prompt) for _ in range(5) for prompt in PROMPTS]
    for reply, other in zip(sampled, invoked, strict=True):
        assert (reply.text, reply.usage_metadata) == (other.text, other.usage_metadata)
        assert reply.response_metadata.items() <= other.response_metadata.items()
    first = ask(sampler, [Request(prompt, 0.0, "a", 0) for prompt in PROMPTS])
    assert [reply.text for reply in first] == [model.invoke(prompt, temperature=0).text for prompt in PROMPTS]


def test_the_sampler_s_answers_do_not_depend_on_its_batches() -> None:
    sampler = simulated_sampler("sim:error=0.4,flag=0.1", TASK, seed=4)
    requests = [Request(prompt, 0.1, "a", number) for prompt in PROMPTS for number in range(6)]
    together = ask(sampler, requests)
    shuffled = np.random.default_rng(1).permutation(len(requests)).tolist()
    apart = {index: ask(sampler, [requests[index]])[0] for index in shuffled}
    copied = ask(sampler, [request._replace(messages=list(request.messages)) for request in requests])
    assert together == [apart[index] for index in range(len(requests))] == copied
    assert ask(sampler, []) == []


def test_the_sampler_reports_usage_and_a_finish_reason() -> None:
    (reply,) = ask(simulated_sampler("sim:output_tokens=90,input_tokens=70", TASK), [Request(START, None, "a", 0)])
    read, written = tokens(reply)
    assert read == 70
    assert 60 < written < 130
    named = {"model_name": "simulated", "model_provider": "simulated"}
    assert reply.response_metadata == {"finish_reason": "stop", **named}


def test_a_seed_in_the_string_comes_first() -> None:
    requests = [Request(START, 0.1, "a", number) for number in range(20)]
    by_argument = ask(simulated_sampler("sim:error=0.5", TASK, seed=9), requests)
    assert ask(simulated_sampler("sim:error=0.5,seed=9", TASK, seed=1), requests) == by_argument
    model = SimulatedChatModel(task=TASK, model="error=0.5,seed=9", seed=1)
    assert [model.invoke(START).text for _ in range(20)] == [reply.text for reply in by_argument]


# a real chat model


def test_it_is_a_chat_model() -> None:
    model = SimulatedChatModel(task=TASK, model="gpt-4.1-mini", temperature=0)
    right = TASK.oracle(TASK.initial_state())
    assert isinstance(model, BaseChatModel)
    answers = [
        model.invoke(START),
        asyncio.run(model.ainvoke(START)),
        model.batch([START])[0],
        asyncio.run(model.abatch([START]))[0],
        model.bind(stop=["\n"]).with_retry().invoke(START),
        *model.stream(START),
    ]
    assert all(TASK.parse(reply.text) == right for reply in answers)


@pytest.mark.parametrize("is_async", [False, True])
def test_n_answers_cost_one_prompt(is_async: bool) -> None:
    model = SimulatedChatModel(task=TASK, model="error=0.5", seed=1, temperature=0.1)
    both = [START, PROMPTS[1]]
    result = asyncio.run(model.agenerate(both, n=4)) if is_async else model.generate(both, n=4)
    assert [len(generations) for generations in result.generations] == [4, 4]
    messages = replies(result)
    read, written = zip(*map(tokens, messages), strict=True)
    assert set(read) == {600}
    assert len(set(written)) > 4
    usage = {"prompt_tokens": 1_200, "completion_tokens": sum(written), "total_tokens": 1_200 + sum(written)}
    assert result.llm_output == {"token_usage": usage, "model_name": "simulated"}
    assert all(one.generation_info == {"finish_reason": "stop"} for one in result.generations[0])
    again = SimulatedChatModel(task=TASK, model="error=0.5", seed=1, temperature=0.1)
    assert [message.text for message in messages[:4]] == [again.invoke(START).text for _ in range(4)]


def test_n_answers_at_temperature_0_are_one_answer() -> None:
    (answers,) = SimulatedChatModel(task=TASK, model="error=0.5").generate([START], n=5, temperature=0.0).generations
    assert len({answer.text for answer in answers}) == 1


def test_n_answers_count_as_n_calls() -> None:
    model, other = (SimulatedChatModel(task=TASK, model="error=0.5", seed=1) for _ in range(2))
    drawn = [*replies(model.generate([START], n=5)), model.invoke(START), *replies(model.generate([START], n=2))]
    assert [tokens(reply) for reply in drawn] == [tokens(other.invoke(START)) for _ in range(8)]


@pytest.mark.parametrize("given", ["field", "max_tokens", "max_completion_tokens"])
def test_an_answer_past_max_tokens_is_cut_off(given: str) -> None:
    limit, kwargs = (100, {}) if given == "field" else (None, {given: 100})
    model = SimulatedChatModel(task=TASK, model="error=0", temperature=0, max_tokens=limit)
    whole = SimulatedChatModel(task=TASK, model="error=0", temperature=0).invoke(START)
    reply = model.bind(**kwargs).invoke(START)
    assert Truncated()(reply) is not None
    assert tokens(reply) == (600, 100)
    assert whole.text.startswith(reply.text)
    assert 0 < len(reply.text) < len(whole.text) / 3
    assert _parse_flag(reply.text) is not None
    assert Truncated()(model.invoke(START, max_tokens=5_000)) is None


@pytest.mark.parametrize("bad", [{"n": 0}, {"max_tokens": 0}])
def test_a_count_below_1_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is at least 1, not 0"):
        SimulatedChatModel(task=TASK).bind(**bad).invoke(START)


def test_the_usage_that_is_reported_averages_to_the_profile_s() -> None:
    model = SimulatedChatModel(task=TASK, model=MINI, temperature=0.1)
    result = model.generate(PROMPTS, n=100)
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["completion_tokens"] / 3_100 == pytest.approx(538, rel=0.02)


# strings and profiles


def test_a_profile_and_settings_can_be_combined() -> None:
    assert read_spec("sim:gpt-4.1-mini") == (MINI, None)
    profile, seed = read_spec("sim:gpt-4.1-mini, error=0.01, seed=-3")
    assert (profile, seed) == (replace(MINI, error=0.01), -3)
    assert read_spec("sim:error=0.01,flag=0.02,hard=0.001")[0] == Profile(error=0.01, flag=0.02, hard=0.001)
    assert read_spec("alternatives=3,output_tokens=1e3")[0] == Profile(alternatives=3, output_tokens=1000)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("sim:", "unknown model ''.*gpt-4.1-nano.*llama-3.2-3b"),
        ("sim:gpt-9", "unknown model 'gpt-9'.*gpt-4.1-mini"),
        ("sim:gpt-4.1-mini,gpt-4.1-nano", "unknown key 'gpt-4.1-nano'.*error, flag.*seed"),
        ("sim:errors=0.1", "unknown key 'errors'.*error, flag"),
        ("sim:name=x", "unknown key 'name'"),
        ("sim:error=0.1,", "unknown key ''"),
        ("sim:error=0.1,error=0.2", "error is given twice"),
        ("sim:error", "unknown model 'error'"),
        ("sim:error=", "error is a number, not ''"),
        ("sim:error=lots", "error is a number, not 'lots'"),
        ("sim:error=nan", "error is a number from 0 to 1, not nan"),
        ("sim:error=-0.1", "from 0 to 1, not -0.1"),
        ("sim:flag=1.1", "flag is a number from 0 to 1"),
        ("sim:hard=inf", "hard is a number from 0 to 1"),
        ("sim:hard=0.01,repeats=1.5", "repeats is a number from 0 to 1, not 1.5"),
        ("sim:repeats=0.7", "repeats=0.7 is of hard steps, and there are none: give their share, such as hard=0.01"),
        ("sim:repeats=often", "repeats is a number, not 'often'"),
        ("sim:repeat=0.7", "unknown key 'repeat'.*confusion, repeats"),
        ("sim:output_tokens=nan", "output_tokens is a number from 1 to"),
        ("sim:alternatives=0", "alternatives is a whole number of at least 1"),
        ("sim:alternatives=1.5", "alternatives is a whole number, not '1.5'"),
        ("sim:seed=x", "seed is a whole number, not 'x'"),
        ("sim:flag=0.5,unevenness=3", "flag=0.5 is too large for unevenness=3"),
    ],
)
def test_a_bad_string_says_what_is_known(spec: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as raised:
        simulated_sampler(spec, TASK)
    assert repr(spec) in str(raised.value)
    with pytest.raises(ValueError, match=complaint):
        SimulatedChatModel(task=TASK, model=spec)


@pytest.mark.parametrize(
    ("name", "error", "tokens", "k", "thousand_dollars"),
    [
        ("gpt-4.1-nano", 0.3571, 842, 29, 41.9),
        ("gpt-4.1-mini", 0.0022, 538, 3, 3.5),
        ("o3-mini", 0.0018, 535, 3, 9.4),
        ("haiku-4.5", 0.1839, 588, 12, 71.2),
        ("gpt-oss-20b", 0.0358, 1104, 6, 1.7),
    ],
)
def test_the_profiles_reproduce_the_published_table(
    name: str, error: float, tokens: int, k: int, thousand_dollars: float
) -> None:
    profile = PROFILES[name]
    assert profile.single_sample_error == pytest.approx(error, abs=5e-5)
    assert profile.output_tokens == tokens
    assert profile.output_price is not None
    assert profile.input_price is not None
    p, steps = 1 - profile.single_sample_error, 2**20 - 1
    assert theory.k_min(p, steps) == k
    sample = (profile.output_price * tokens + profile.input_price * profile.input_tokens) / 1e6
    assert theory.expected_cost(p, k, steps, sample) / 1e3 == pytest.approx(thousand_dollars, rel=0.03)


def test_llama_is_always_wrong_and_always_the_same() -> None:
    llama = PROFILES["llama-3.2-3b"]
    assert (llama.output_tokens, llama.output_price, llama.input_price) == (434, 0.06, None)
    assert Counter(verdicts(llama, draws=5)) == {"wrong": 155}


# gpt-4.1-mini against its published figures


def undecided(profile: Profile, samples: int) -> NDArray[np.float64]:
    """Share of steps undecided at k = 3 after 0, 1, ... samples: the Markov chain of the margin, over all steps."""
    uniform = (np.arange(10_000) + 0.5) / 10_000
    rates = profile.flag * (1 + profile.unevenness) * uniform**profile.unevenness
    ordinary, hard = _undecided(rates, profile.error, samples), np.zeros(samples + 1)
    hard = _undecided(profile.confusion + (1 - profile.confusion) * rates, profile.error, samples)
    return (1 - profile.hard) * ordinary + profile.hard * hard


def _undecided(flagged: NDArray[np.float64], error: float, samples: int) -> NDArray[np.float64]:
    lead = np.zeros((5, len(flagged)))  # right minus wrong votes, from -2 to 2
    lead[2] = 1
    shares = [1.0]
    for _ in range(samples):
        after = lead * flagged
        after[1:] += lead[:-1] * (1 - flagged) * (1 - error)
        after[:-1] += lead[1:] * (1 - flagged) * error
        lead = after
        shares.append(float(lead.sum(axis=0).mean()))
    return np.array(shares)


def test_gpt_4_1_mini_leaves_as_many_steps_undecided_as_published() -> None:
    counts = (2**20 - 1) * undecided(MINI, 17)
    assert counts[[3, 4, 5]] == pytest.approx([81_959, 18_461, 3_807], rel=0.02)
    assert 0.5 < counts[17] < 2
    assert (counts[6:] / counts[5:-1] > 1_000 / 10_600).all()


def test_gpt_4_1_mini_is_valid_as_often_as_the_first_three_samples_imply() -> None:
    confused = MINI.hard * MINI.confusion
    assert 1 - confused - (1 - confused) * MINI.flag == pytest.approx(0.975, abs=0.004)


@pytest.fixture(scope="module")
def mini_answers() -> list[list[tuple[str, int, str]]]:
    """Six answers to each of 65,535 steps: flagged or not, tokens, and what the repairing parser reads."""
    task, repairing = TowersOfHanoi(disks=16), TowersOfHanoi(disks=16, repairing=True)
    model = Simulation(task, MINI, seed=5)
    steps = []
    for state in path(task):
        question, right = model.ask(task.prompt(state)), task.oracle(state)
        clean = task.render(right)
        answers = []
        for number in range(6):
            text, tokens = question.draw(number, 0.1)
            whole = text == clean
            seen = "right" if whole else verdict(text, right, task)
            repaired = "right" if whole else verdict(text, right, repairing)
            answers.append(("flagged" if tokens > 750 else seen, tokens, repaired))
        steps.append(answers)
    return steps


@pytest.mark.slow
def test_the_ballots_of_the_simulation_follow_the_chain(mini_answers: list[list[tuple[str, int, str]]]) -> None:
    open_after: Counter[int] = Counter()
    for answers in mini_answers:
        ballot = Ballot(3)
        for number, (seen, _, _) in enumerate(answers, 1):
            if seen != "flagged":
                ballot.cast(seen)
            if ballot.deficit == 0:
                break
            open_after[number] += 1
    expected = undecided(MINI, 6)
    for number in (3, 4, 5, 6):
        assert_share(open_after[number], len(mini_answers), float(expected[number]))


@pytest.mark.slow
def test_one_answer_in_ten_is_wrong_past_700_tokens_and_one_in_a_thousand_below(
    mini_answers: list[list[tuple[str, int, str]]],
) -> None:
    first = [answers[0] for answers in mini_answers]
    wrong = Counter(tokens > 700 for _, tokens, repaired in first if repaired == "wrong")
    all_of = Counter(tokens > 700 for _, tokens, _ in first)
    assert_share(wrong[True], all_of[True], 0.1)
    assert 0.0005 < wrong[False] / all_of[False] < 0.002
    assert_share(wrong.total(), len(first), 0.0022)


@pytest.mark.slow
def test_collisions_gather_unless_flagged_answers_are_discarded(
    mini_answers: list[list[tuple[str, int, str]]],
) -> None:
    repaired = sum(all(answer[2] == "wrong" for answer in answers[:2]) for answers in mini_answers)
    flagging = 0
    for answers in mini_answers:
        valid = [seen for seen, _, _ in answers if seen != "flagged"][:2]
        flagging += valid == ["wrong", "wrong"]
    assert repaired > 10 * 65_535 * 0.0022**2
    assert flagging <= 2


# other tasks


class Count(Task):
    """Counts down from 9, in JSON."""

    name = "count"
    steps = 9

    def initial_state(self) -> int:
        return 9

    def is_done(self, state: Any) -> bool:
        return bool(state == 0)

    def prompt(self, state: Any) -> list[BaseMessage]:
        return [HumanMessage(f"What comes after {state}?")]

    def parse(self, text: str) -> Vote:
        vote = json.loads(text)
        return {"action": vote["action"], "next_state": vote["next_state"]}

    def advance(self, state: Any, vote: Vote) -> Any:
        return vote["next_state"]

    def oracle(self, state: Any) -> Vote:
        return {"action": "down", "next_state": state - 1}

    def read_state(self, messages: Sequence[BaseMessage]) -> int:
        return int(messages[-1].text.rstrip("?").split()[-1])


class Words(Count):
    """The same, answered in words, which takes a method of its own."""

    def parse(self, text: str) -> Vote:
        _, word, number = text.split(" = ")
        return {"action": word.split()[0], "next_state": int(number)}


class RenderedWords(Words):
    def render(self, vote: Vote) -> str:
        return f"action = {vote['action']} next = {vote['next_state']}"


@pytest.mark.parametrize("task", [Count(), RenderedWords()], ids=["json", "rendered"])
def test_any_checkable_task_can_be_simulated(task: Task) -> None:
    def answer(spec: str) -> Vote:
        (reply,) = ask(simulated_sampler(spec, task), [Request(task.prompt(12), 0.1, "a", 0)])
        return task.parse(reply.text)

    assert answer("sim:error=0") == {"action": "down", "next_state": 11}
    assert answer("sim:error=1") == {"action": "down", "next_state": 12}
    with pytest.raises(ValueError, match=r"char|int\(\)"):
        answer("sim:flag=1")


def test_a_task_that_does_not_read_json_is_told_what_to_add() -> None:
    with pytest.raises(ValueError, match=r"count does not read.*give it render\(vote\)"):
        simulated_sampler("sim:error=0", Words())


def test_a_task_whose_wrong_answers_do_not_count_is_told_what_to_add() -> None:
    class Strict(Count):
        def parse(self, text: str) -> Vote:
            vote = super().parse(text)
            if vote["next_state"] != 8:
                raise RedFlag("not_8")
            return vote

    simulated_sampler("sim:flag=0.1", Strict())
    for spec in ("sim:error=0.1", "sim:hard=0.1"):
        with pytest.raises(ValueError, match=r"give it wrong_votes\(state\)"):
            simulated_sampler(spec, Strict())


def test_a_task_that_is_not_checkable_is_told_what_to_add() -> None:
    class Blind(Count):
        oracle = None  # type: ignore[assignment]

    class Bare(Task):
        name = "bare"
        initial_state = prompt = parse = advance = is_done = lambda *_: 0  # type: ignore[assignment]

    for task in (Blind(), Bare()):
        with pytest.raises(TypeError, match=r"give it oracle\(state\).*read_state"):
            simulated_sampler("sim:error=0", task)
        with pytest.raises(TypeError, match=r"give it oracle\(state\)"):
            SimulatedChatModel(task=task)
