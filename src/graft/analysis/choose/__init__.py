"""Choosing: which backbones, sizes and views suit the images, measured before anything is trained."""
