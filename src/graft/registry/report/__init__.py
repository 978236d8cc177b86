"""The report and the model card: what a run came to, for people."""
