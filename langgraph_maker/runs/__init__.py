"""What goes around a graph: `solve`, its result, monitors, calibration, diagnosis."""
