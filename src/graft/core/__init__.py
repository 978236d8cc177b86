"""Ground: files, locks, errors, settings and pages, which every other room uses."""
