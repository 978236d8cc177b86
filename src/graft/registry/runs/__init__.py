"""Runs in MLflow: parameters, metrics and pictures of strategies, ensembles and sweeps."""
