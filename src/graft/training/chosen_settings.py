"""Settings that stage choose found, in the place of each ``auto`` in params.yaml."""

from graft.analysis.choose.chosen_values import read_chosen
from graft.core.params.train_params import TrainParams
from graft.core.project import Project


def with_chosen(project: Project, params: TrainParams, name: str) -> TrainParams:
    """Return params in which nothing is left open for one strategy.

    Args:
        project: whose stage choose has run.
        params: of training.
        name: of the strategy; one that is not there is left to whoever trains it.

    Raises:
        GraftError: the strategy leaves a setting to auto that stage choose has not filled in.
    """
    if name not in params.strategies:
        return params
    strategy = params.strategy(name)
    if not strategy.to_choose:
        return params
    from graft.analysis.choose.fill_in import own_size

    filled = strategy.filled_in({**read_chosen(project.artifacts("choose"), name), **own_size(strategy)}, name)
    return params.model_copy(update={"strategies": {**params.strategies, name: filled}})
