"""Export: a trained model in the file formats of other runtimes, checked against the model that it was made from."""
