"""The advisor: what to train, by measuring frozen networks on the images at hand."""
