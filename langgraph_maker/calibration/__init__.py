"""Before a run: measure how often a model is right, and so which k, at what cost, and how sure that is."""

from langgraph_maker.calibration.findings import Calibration, FalseFlags, Independence
from langgraph_maker.calibration.run import Options, acalibrate, calibrate, known_price

__all__ = ["Calibration", "FalseFlags", "Independence", "Options", "acalibrate", "calibrate", "known_price"]
