"""Serving the champion over HTTP: limits, batching, metrics, a new champion without a dropped request, and a page."""
