"""MLflow: runs, registered models, and the promotion of one of them to champion."""
