"""Evaluation: figures and pictures of a classifier on a split."""
