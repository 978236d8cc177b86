"""Watching a model at work: what was predicted is logged, and recent inputs are compared with the training images."""
