"""Simulated models and a simulated server: they answer tasks whose truth is computable, and err as often as asked."""

from langgraph_maker.simulation.answers import (
    CanErr,
    CanReword,
    CanWrite,
    SimulatedAnswer,
    SimulatedQuestion,
    Simulation,
)
from langgraph_maker.simulation.chat_model import SimulatedChatModel, simulated_sampler
from langgraph_maker.simulation.profiles import PROFILES, Profile, read_spec

__all__ = [
    "PROFILES",
    "CanErr",
    "CanReword",
    "CanWrite",
    "Profile",
    "SimulatedAnswer",
    "SimulatedChatModel",
    "SimulatedQuestion",
    "Simulation",
    "read_spec",
    "simulated_sampler",
]
