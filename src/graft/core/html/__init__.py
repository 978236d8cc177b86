"""HTML: the frame, style and pieces of every page."""
