"""The model registry: versions and their aliases."""
