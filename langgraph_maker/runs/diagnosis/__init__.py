"""Find the steps that a model gets wrong again and again, and what helps against them."""

from langgraph_maker.runs.diagnosis.diagnose import DiagnoseOptions, adiagnose, diagnose
from langgraph_maker.runs.diagnosis.result import Diagnosis

__all__ = ["DiagnoseOptions", "Diagnosis", "adiagnose", "diagnose"]
