"""The code that travels inside a registered model.

Nothing here imports the rest of graft: the folder is copied into the model as the package ``graft_model``, so
that a model decodes, resizes and answers with the very code it was trained with, where graft is not installed.
"""
