"""Networks: pretrained backbones, heads, the engines that run them, and the features that they compute."""
