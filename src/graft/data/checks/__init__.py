"""Checks of images and splits, and the pages that show them."""
