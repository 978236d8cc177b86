"""Projects that are no checkout of graft: made by `graft init`, kept up to date by `graft upgrade`."""
