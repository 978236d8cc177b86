"""Build optimizers as params name them: rate schedule, weight decay on kernels, a rate of its own for each layer."""

from collections.abc import Mapping
from typing import Any

import keras

from graft.core.params.strategy_params import FitParams

# Keras looks for this in names, which under TensorFlow begin with those of the layers (``a_beta_layer/kernel:0``).
WITHOUT_DECAY = r"(^|/)(bias|gamma|beta)(:\d+)?$"


def build_optimizer(
    params: FitParams, steps_per_epoch: int, rate_factors: Mapping[str, float] | None = None
) -> keras.optimizers.Optimizer:
    """Build the optimizer for one fit.

    Args:
        params: which one, with its rate, schedule, decay, momentum and running mean.
        steps_per_epoch: batches; the schedule is spread over ``params.epochs`` of them.
        rate_factors: factor on the rate of variables, by ``path``; those not named have 1.
    """
    options: dict[str, Any] = {
        "learning_rate": _schedule(params, steps_per_epoch),
        "weight_decay": params.weight_decay or None,
        "use_ema": params.ema_momentum > 0,
        "ema_momentum": params.ema_momentum or 0.99,
        # The running mean is put in place where validation asks for it, not by the optimizer.
        "ema_overwrite_frequency": None,
    }
    kind: type[keras.optimizers.Optimizer]
    if params.optimizer == "sgd":
        kind = keras.optimizers.SGD
        options |= {"momentum": params.momentum, "nesterov": params.momentum > 0}
    else:
        kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[params.optimizer]
        if params.optimizer == "adamw":
            options["weight_decay"] = params.weight_decay
    optimizer = _with_rate_factors(kind, rate_factors)(**options) if rate_factors else kind(**options)
    if params.weight_decay:
        # Biases and the scales of batch norm have no direction that small is good in.
        # Loshchilov and Hutter, Decoupled Weight Decay Regularization, https://arxiv.org/abs/1711.05101
        optimizer.exclude_from_weight_decay(var_names=[WITHOUT_DECAY])
    return optimizer


def _schedule(params: FitParams, steps_per_epoch: int) -> Any:
    """Return a number, or Keras' cosine decay with a linear warm-up before it.

    https://arxiv.org/abs/1608.03983 (cosine) and https://arxiv.org/abs/1706.02677 (warm-up). With ``alpha`` 1
    the cosine stays where it starts, which is a warm-up alone.
    """
    rate = params.learning_rate
    if params.schedule == "constant" and not params.warm_up_epochs:
        return rate
    warm_up = params.warm_up_epochs * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warm_up else rate,
        decay_steps=params.epochs * steps_per_epoch - warm_up,
        alpha=0.0 if params.schedule == "cosine" else 1.0,
        warmup_target=rate if warm_up else None,
        warmup_steps=warm_up,
    )


def _with_rate_factors(
    kind: type[keras.optimizers.Optimizer], factors: Mapping[str, float]
) -> type[keras.optimizers.Optimizer]:
    """Return the optimizer with a factor on the rate of each variable named; weight decay goes by the rate without it.

    Scaling gradients instead would do nothing: Adam divides by their size.
    """

    class WithRateFactors(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
            # Under TensorFlow the variable is a bare one, without the path that Keras knows it by.
            own = self._trainable_variables[self._get_variable_index(variable)]
            return super().update_step(gradient, variable, learning_rate * factors.get(own.path, 1.0))

    WithRateFactors.__name__ = kind.__name__
    return WithRateFactors


def layer_rate_factors(network: keras.Model, decay: float) -> dict[str, float]:
    """Return the factor on the rate of each variable of a backbone, by path.

    It is ``decay`` per layer with weights, counted from the top. The last layer with weights has ``decay``, so that the
    head above it learns fastest. Layer-wise decay is from https://arxiv.org/abs/1801.06146, there between groups of
    layers.
    """
    factors: dict[str, float] = {}
    factor = 1.0
    for layer in reversed(network.layers):
        if layer.trainable_weights:
            factor *= decay
            factors |= {variable.path: factor for variable in layer.trainable_weights}
    return factors
