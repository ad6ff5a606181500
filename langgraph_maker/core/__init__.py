"""The rules, pure: votes, red flags, margins, tasks, events. No LangGraph, no I/O, nothing of the other folders."""
