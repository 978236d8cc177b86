"""Prediction: a registered model, or any bundle, over photographs by the thousand."""
