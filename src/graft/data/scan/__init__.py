"""The scan: every image read once, into the manifest."""
