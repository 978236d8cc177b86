"""What a pretrained network sees in photographs by itself: ImageNet's classes, no training."""
