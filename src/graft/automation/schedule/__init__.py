"""Retraining by the clock: the service behind `graft schedule`, and its deployment in Prefect."""
