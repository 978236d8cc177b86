"""params.yaml as typed, checked models."""

from graft.core.params.load_params import load_params, parse_params
from graft.core.params.models import Params

__all__ = ["Params", "load_params", "parse_params"]
