"""How to transfer: one file per kind of strategy, each with ``train(params, task) -> Trained``."""
