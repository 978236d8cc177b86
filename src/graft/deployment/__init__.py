"""A model at work: predictions, exports, monitoring and the server."""
