"""An ensemble as one graph, in every format that is made from it."""

from pathlib import Path

import numpy as np
import pytest
from tiny import write_member

from graft.bundle.model import ImageClassifier
from graft.core.errors import GraftError
from graft.deployment.export.bundle_source import ExportSource, prepare_saved_model
from graft.deployment.export.export_model import _module as format_module
from graft.deployment.export.export_model import load_exported
from graft.deployment.export.formats import FORMATS
from graft.training.ensembles.ensemble_bundle import write_ensemble_bundle

CLASSES = ["a", "b", "c"]


@pytest.mark.slow
def test_members_of_one_size_become_one_graph(tmp_path: Path) -> None:
    members = {
        "one": (0.3, write_member(tmp_path / "1", CLASSES, 8, 1, 1.5)),
        "two": (0.7, write_member(tmp_path / "2", CLASSES, 8, 2, 1.5)),
    }
    bundle = tmp_path / "mean" / "model"
    write_ensemble_bundle(members, bundle)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    expected = ImageClassifier(bundle).probabilities({8: images})
    alone = [ImageClassifier(folder).probabilities({8: images}) for _, folder in members.values()]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    saved_model, size = prepare_saved_model(bundle, tmp_path / "source")
    source = ExportSource(saved_model, size, CLASSES, {})
    for name in FORMATS:
        folder = tmp_path / name
        folder.mkdir()
        format_module(name).write(source, folder)
        np.testing.assert_allclose(load_exported(folder, name)(images), expected, atol=1e-5, err_msg=name)


def test_members_of_different_sizes_are_refused(tmp_path: Path) -> None:
    members = {
        "one": (0.5, write_member(tmp_path / "1", CLASSES, 8, 1, 1.5)),
        "two": (0.5, write_member(tmp_path / "2", CLASSES, 12, 2, 1.5)),
    }
    write_ensemble_bundle(members, tmp_path / "bundle")
    with pytest.raises(GraftError, match=r"one at 8 px, two at 12 px.*--model .*members/<member>"):
        prepare_saved_model(tmp_path / "bundle", tmp_path / "source")
