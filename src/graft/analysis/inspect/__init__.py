"""Seeing the data: what `graft data inspect` finds in the images of data/, and the page that shows it."""
