"""Before a run: measure how often a model is right, and so which k, at what cost, and how sure that is."""

from langgraph_maker.runs.calibration.measurement import CalibrateOptions, acalibrate, calibrate, known_price
from langgraph_maker.runs.calibration.result import Calibration, FalseFlags, Independence

__all__ = ["CalibrateOptions", "Calibration", "FalseFlags", "Independence", "acalibrate", "calibrate", "known_price"]
