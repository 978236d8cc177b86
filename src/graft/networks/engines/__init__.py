"""Engines: what runs a network, and how it is converted for that."""
