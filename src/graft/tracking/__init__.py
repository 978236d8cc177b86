"""Tracking: what MLflow is told, and what a run was made from."""
