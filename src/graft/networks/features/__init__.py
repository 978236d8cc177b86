"""The feature store: what frozen networks made of images, computed once and kept."""
