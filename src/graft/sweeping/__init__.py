"""Sweeps: settings of strategies tried one after another over the feature store, ranked on validation."""
