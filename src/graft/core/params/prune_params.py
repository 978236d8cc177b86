"""The section ``prune`` of params.yaml: what `graft prune` keeps, and whether a retraining prunes."""

from typing import Annotated

from pydantic import Field

from graft.core.params.sections import CountOrNone, Section


class PruneParams(Section):
    """What pruning keeps.

    Attributes:
        nightly: whether each `graft retrain` ends with it.
        keep_days: nothing that is younger goes.
        keep_versions: latest versions of the model that stay, beside those that an alias or the line of champions
            names. The gate compares with the latest 24.
        quarantine_days: what is refused stays so long; 0: for ever.
        log_days: rows of the prediction log stay so long; 0: as ``monitor.log`` says.
    """

    nightly: bool = False
    keep_days: CountOrNone = 30
    keep_versions: Annotated[int, Field(ge=24)] = 30
    quarantine_days: CountOrNone = 0
    log_days: CountOrNone = 0
