"""The ground that everything else stands on; imports nothing above it."""
