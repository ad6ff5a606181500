"""Each sample is asked its own question: in discriminators' votes no candidate has a place of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, cast

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag, RuleLike
from langgraph_maker.core.state import Request, Sampler, Verdict
from langgraph_maker.journal.tree_types import Stage, node_id_of
from langgraph_maker.models.pool import misuse
from langgraph_maker.models.resolve import Model
from langgraph_maker.models.router import sampler_of
from langgraph_maker.nodes.guard import Parse
from langgraph_maker.nodes.guard import verdict_reader as human_reader
from langgraph_maker.prebuilt.recursive.stages import SCHEMAS, StageQuestion, Stages
from langgraph_maker.prebuilt.schema import Schema

__all__ = ["StageSampler", "answers", "reader", "shown"]


class StageSampler:
    """A sampler that is sent questions as JSON, and asks `models`, those of a ladder, for each as `stages` says.

    Candidates are shown to each vote in another order, which goes with the response, so that `reader` can tell which
    one is meant. Calls that wait are traced under the name of their stage and node.
    """

    def __init__(self, models: Sequence[Model], stages: Stages, max_tokens: int | None) -> None:
        self.stages = stages
        for model in models:
            if isinstance(model, str) and model.startswith("sim:"):
                raise ValueError(
                    f"{excerpt(model)} simulates answers to a task, and here is none: give a Sampler that"
                    " answers the stages,"
                    " such as recursion.multiplication.simulated_multiplication()"
                )
        if stages.tools and any(isinstance(model, (str, Runnable)) for model in models):
            self.samplers: dict[Stage, Sampler] = {
                stage: sampler_of([_fitting(model, stages, stage) for model in models], max_tokens=max_tokens)
                for stage in SCHEMAS
            }
        else:
            self.samplers = dict.fromkeys(SCHEMAS, sampler_of(models, max_tokens=max_tokens))
        one = self.samplers["solve"]
        self.max_concurrency = getattr(one, "max_concurrency", None)
        self.never_waits = getattr(one, "never_waits", False)

    def split(self, requests: list[Request]) -> list[list[Request]]:
        """Return the samples that go into one call together: those with the same prompt, where the model has `n`."""
        question = _question(requests[0])
        if question["stage"] == "choose":
            return [[request] for request in requests]
        split = getattr(self.samplers[question["stage"]], "split", None)
        return [requests] if split is None else cast("list[list[Request]]", split(requests))

    async def __call__(self, requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        """Draw one response for each request, in order."""
        asked: list[Request] = []
        notes: list[dict[str, Any]] = []
        messages: dict[tuple[str, int], Any] = {}
        for request in requests:
            text: str = request.messages[0].text
            question = json.loads(text)
            order = shown(question, request.number)
            if order is not None:
                question["candidates"] = [question["candidates"][place] for place in order]
                text += f"\n{request.number}"
            if (prompted := (text, request.variant)) not in messages:
                prompt = self.stages.ask(question, request.variant) if request.variant else self.stages.ask(question)
                messages[prompted] = [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
            asked.append(request._replace(messages=messages[prompted]))
            notes.append({"stage": question["stage"], "candidates": question.get("candidates")})
        responses = await self._draw(asked, notes[0]["stage"])
        if misuse(asked, responses) is not None:  # whoever called says what is wrong
            return responses
        return [
            _noted(response, note) if isinstance(response, AIMessage) else response
            for response, note in zip(responses, notes, strict=True)
        ]

    async def _draw(self, asked: list[Request], stage: Stage) -> Sequence[AIMessage | Exception]:
        sampler = self.samplers[stage]
        if self.never_waits:
            return await sampler(asked)

        async def draw(_: object) -> Sequence[AIMessage | Exception]:
            return await sampler(asked)

        node_id = node_id_of(asked[0].subtask_id)
        traced = RunnableLambda(draw).with_config(
            run_name=f"{stage} {node_id}", tags=["nostream", f"stage:{stage}", f"node:{node_id}"]
        )
        return await traced.ainvoke({"node": node_id, "stage": stage})

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        for sampler in {id(one): one for one in self.samplers.values()}.values():
            if (aclose := getattr(sampler, "aclose", None)) is not None:
                await aclose()


def shown(question: StageQuestion, number: int) -> list[int] | None:
    """Return in which order vote `number` sees the candidates; None where there are none.

    The order is shuffled by what is asked, and goes round by one from vote to vote: in as many votes as there are
    candidates each stands at each place once, so that a liking for a place decides nothing.

    Example:
        >>> question = {"stage": "choose", "candidates": ["a", "b", "c"]}
        >>> sorted(shown(question, number)[0] for number in range(3))
        [0, 1, 2]
    """
    if question["stage"] != "choose":
        return None
    order = [*range(len(question["candidates"]))]
    random.Random(json.dumps(question, sort_keys=True)).shuffle(order)  # noqa: S311 - no secret
    first = number % len(order)
    return order[first:] + order[:first]


def reader(stages: Stages) -> Parse:
    """Return ψ of all stages: a choice is the candidate itself, whatever place it was shown at."""

    def parse(response: AIMessage) -> Any:
        note = response.response_metadata["maker"]
        if (flag := _schema(stages.schema(note["stage"])).flag(response)) is not None:
            return flag
        return _vote(stages, note["stage"], note["candidates"], response.text)

    return parse


def answers(
    stages: Stages, validate: Callable[[StageQuestion, Any], RedFlag | None], red_flags: RuleLike | None
) -> Callable[[Any, StageQuestion], Verdict]:
    """Return what reads a human's answer: as a response, or where a stage asks for one thing, that thing alone.

    Candidates are counted from 1, as models count them, in the order in which the question has them. Asked whether an
    answer is right, a human may give another.
    """

    def read(answer: Any, question: StageQuestion) -> Verdict:
        stage: Stage = question["stage"]
        if stage == "check" and isinstance(given := _value(answer), dict) and "answer" in given:
            other = read(answer, {**question, "stage": "compose"})
            if "flag" in other:
                return other
            vote = {"right": True, **other["vote"]}
            return {"key": stages.vote_key(vote), "vote": vote}
        parse = partial(_vote, stages, stage, question.get("candidates"))
        as_response = human_reader(parse=parse, key=stages.vote_key, validate=validate, red_flags=red_flags)
        return as_response(_worded(stages.schema(stage), answer), question)

    return read


def _vote(stages: Stages, stage: Stage, candidates: list[Any] | None, text: str) -> Any:
    vote = stages.read(stage, text)
    if candidates is None:
        return vote
    if not 1 <= vote["choice"] <= len(candidates):
        return RedFlag("no_such_candidate", f"{vote['choice']} of {len(candidates)}")
    return {"choice": candidates[vote["choice"] - 1]}


def _worded(schema: type[BaseModel], answer: Any) -> Any:
    """Return what was answered, under its field's name if that was left out."""
    asked_for, value = schema.model_fields.keys() - {"reasoning"}, _value(answer)
    if len(asked_for) > 1:
        return answer
    [name] = asked_for
    is_text = schema.model_fields[name].annotation is str
    if isinstance(value, dict) and (name in value or not (is_text and isinstance(answer, str))):
        return answer
    return {name: answer if is_text else value}


def _value(answer: Any) -> Any:
    """Return what a text says, if it is JSON."""
    if isinstance(answer, str):
        with suppress(ValueError, RecursionError):
            return json.loads(answer)
    return answer


@cache
def _schema(form: type[BaseModel]) -> Schema:
    return Schema(form)


def _fitting(model: Model, stages: Stages, stage: Stage) -> Model:
    return _schema(stages.schema(stage)).asked_of(model) if isinstance(model, (str, Runnable)) else model


def _question(request: Request) -> StageQuestion:
    return cast("StageQuestion", json.loads(request.messages[0].text))


def _noted(response: AIMessage, note: dict[str, Any]) -> AIMessage:
    return response.model_copy(update={"response_metadata": {**response.response_metadata, "maker": note}})
