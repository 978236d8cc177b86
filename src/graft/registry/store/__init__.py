"""Where MLflow keeps runs and models, and what a model was made from."""
