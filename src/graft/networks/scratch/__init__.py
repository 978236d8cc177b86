"""Networks from random weights: one file each, whose name is what ``network`` in params.yaml may say.

Each has ``build(images, params, seed)``: from scaled images, a Keras tensor ``[N, S, S, 3]`` in -1..1, to what the
head goes on with.
"""
