"""Work without hands: the pipeline, Prefect's server, retraining and its schedule."""
