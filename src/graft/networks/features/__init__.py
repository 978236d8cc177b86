"""The feature store: frozen networks' features of images, computed once and stored."""
