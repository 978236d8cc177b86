"""Training: images to arrays, arrays to a fitted model, a fitted model to a bundle."""
