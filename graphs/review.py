"""A run that asks a human for LangGraph Studio: 4 disks, 15 voted steps, a simulated model that is at a loss on some.

A step whose votes are tied after ten samples is put to a human: pick a candidate by its number, once it is clear
what each would do (`{"pick": NUMBER}`; the first may be wrong), give another answer as a model would word it
(`{"answer": "…"}`), let the vote begin again (`{"retry": true}`) or give the step up (`{"abort": true}`).
"""

from langgraph_maker import create_maker
from langgraph_maker.ladder import AskHuman, Tier
from langgraph_maker.tasks import TowersOfHanoi

graph = create_maker(
    TowersOfHanoi(4),
    "sim:hard=0.3,repeats=0.5,confusion=0,error=0.04",
    k=4,
    min_k=1,
    ladder=[Tier(samples=10), AskHuman()],
).compile(name="review")
