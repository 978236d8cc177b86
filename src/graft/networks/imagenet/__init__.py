"""Pretrained networks as classifiers of ImageNet's classes, without training."""
