"""Measurements that a user can repeat; each file prints what it measured and on what."""
