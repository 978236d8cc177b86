"""params.yaml as typed, checked models."""

from graft.params.load import load_params, parse_params
from graft.params.models import Params

__all__ = ["Params", "load_params", "parse_params"]
