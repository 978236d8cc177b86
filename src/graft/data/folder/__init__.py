"""The folder data/: its layout, its versions, and how it is replaced."""
