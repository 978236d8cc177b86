"""Calibration: probabilities that mean what they say, fitted on validation images."""
