"""A process for tests to kill, by itself: solves or calibrates by batches, and dies by SIGKILL at a stage of a batch.

python crash_batch.py DB RUN_ID URL DISKS LANES STAGE WHAT

STAGE is a name of `STAGES` and how often it is reached before, such as "created:1", or "none"; WHAT is "run" or
"calibrate".
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langgraph_maker import calibrate, solve
from langgraph_maker.journal.databases import open_store
from langgraph_maker.models.batches import BatchLimits, BatchSampler
from langgraph_maker.models.batches.api import BatchState, Line, LineResult
from langgraph_maker.models.batches.openai_api import OpenAIBatches
from langgraph_maker.tasks import TowersOfHanoi

STAGES = ("submit", "upload", "created", "looked", "reading", "read")
QUICK = BatchLimits(delay=0.3, poll=0.05, grace=0.3)


def die_at(stage: str) -> None:
    """Make this process kill itself when a stage is reached once more than so often."""
    name, _, often = stage.partition(":")
    left = [int(often or 0)]

    def reached(now: str) -> None:
        if now == name:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    submit, state, results = OpenAIBatches.submit, OpenAIBatches.state, OpenAIBatches.results

    async def submitting(self: OpenAIBatches, lines: Sequence[Line], intake: str) -> str:
        reached("submit")  # it is recorded that there will be a batch
        create = self.client.batches.create

        async def creating(**given: Any) -> Any:
            reached("upload")
            return await create(**given)

        self.client.batches.create = creating
        try:
            found = await submit(self, lines, intake)
        finally:
            self.client.batches.create = create
        reached("created")  # and nobody knows its id
        return found

    async def looking(self: OpenAIBatches, batch_id: str) -> BatchState:
        reached("looked")
        return await state(self, batch_id)

    async def reading(self: OpenAIBatches, batch_id: str, intake: str) -> AsyncIterator[tuple[str, LineResult]]:
        number = 0
        async for one in results(self, batch_id, intake):
            yield one
            number += 1
            if number == 2:
                reached("reading")
        reached("read")

    OpenAIBatches.submit = submitting  # type: ignore[method-assign]
    OpenAIBatches.state = looking  # type: ignore[method-assign]
    OpenAIBatches.results = reading  # type: ignore[method-assign]


def main() -> None:
    db, run_id, url, disks, lanes, stage, what = sys.argv[1:]
    die_at(stage)
    model = ChatOpenAI(model="gpt-4.1-mini", base_url=url, api_key=SecretStr("any"))
    sampler = BatchSampler(model, limits=QUICK)
    with open_store(db) as store:
        if what == "calibrate":
            found = calibrate(TowersOfHanoi(int(disks)), sampler, samples=int(lanes), store=store, run_id=run_id)
            said = {"status": "solved", "samples": found.drawn, "cost": found.spent, "steps": found.samples}
        else:
            run = solve(TowersOfHanoi(int(disks)), sampler, lanes=int(lanes), store=store, run_id=run_id)
            said = {"status": run.status, "reason": run.reason, "samples": run.samples, "steps": run.steps, **run.usage}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
