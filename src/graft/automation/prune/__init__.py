"""Pruning: what nobody needs any more, and its removal."""
