"""Data: bringing photographs in, checking them, splitting them."""
