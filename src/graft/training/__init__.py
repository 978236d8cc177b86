"""Training: from splits to a bundle, by strategy."""
