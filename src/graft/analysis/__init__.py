"""Before training: what the images are like, and which settings suit them."""
