"""graft: transfer learning for image classification, from a folder of photographs to a registered model."""

__version__ = "0.1.0"
