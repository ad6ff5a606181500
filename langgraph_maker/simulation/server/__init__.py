"""A simulated provider: OpenAI's chat completions over HTTP, with latency, rate limits and faults as asked.

It answers for any `Checkable` task as `SimulatedChatModel` does, and needs no key and no network but loopback. Use it
to test what your own client makes of an API on a bad day (here it tries again):

    >>> from openai import OpenAI
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> task = TowersOfHanoi(disks=3)
    >>> prompt = [{"role": "user", "content": task.prompt(task.initial_state())[-1].text}]
    >>> provider = SimulatedServer(task, "sim:error=0.01", faults="429@1,retry_after=0.01")
    >>> with provider.running() as url, OpenAI(base_url=url, api_key="any") as client:
    ...     answer = client.chat.completions.create(model="any", messages=prompt, n=3)
    >>> len(answer.choices), answer.usage.prompt_tokens
    (3, 600)
    >>> provider.stats.requests, provider.stats.samples, provider.stats.faults
    (2, 3, {'429': 1})

`ChatOpenAI(base_url=url, api_key="any", model="any")` is a client of it. Needs the extra `serve`. It is a test double:
plain HTTP, and an error about a key repeats the key as it was sent, since clients must be shown not to pass it on.
"""

from langgraph_maker.simulation.server.batch_jobs import BatchFaults
from langgraph_maker.simulation.server.counts import Stats
from langgraph_maker.simulation.server.faults import Faults
from langgraph_maker.simulation.server.server import SimulatedServer, serve

__all__ = ["BatchFaults", "Faults", "SimulatedServer", "Stats", "serve"]
