"""Variables of the environment that a developer's shell may hold, and tests must not see."""

OUTSIDE_SETTINGS = ("GRAFT_CACHE", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_STAGE", "DVC_EXP_NAME")
