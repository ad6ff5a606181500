"""A swarm (package langgraph-swarm) in which the handoff is voted on. The models are scripted."""

from langchain.agents import create_agent
from langgraph_swarm import create_handoff_tool, create_swarm

from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.testing import ScriptedChatModel, tool_call

AGENTS = ["billing", "technical"]
wrong, right = tool_call("transfer_to_technical"), tool_call("transfer_to_billing")
model = ScriptedChatModel(answers=[wrong, right, right, right, right])
front = create_agent(
    model, [create_handoff_tool(agent_name=name) for name in AGENTS], middleware=[VotingMiddleware(k=3)], name="front"
)
others = [create_agent(ScriptedChatModel(answers=[f"This is {name}."]), [], name=name) for name in AGENTS]
app = create_swarm([front, *others], default_active_agent="front").compile()

if __name__ == "__main__":
    said = app.invoke({"messages": [("user", "I was charged twice.")]})
    print(said["messages"][-1].text, f"({len(model.calls)} samples of a scripted model)")
