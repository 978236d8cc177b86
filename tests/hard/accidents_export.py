"""`graft export`: a model in another form, in a folder that is whole or not there."""

from pathlib import Path
from typing import Any

from accidents import Kind, load
from accidents_predict import photograph_bytes
from small_models import make_trained

from graft.core.project import Project

FORMATS = ("saved_model", "tflite", "onnx", "openvino", "hub")


class Export(Kind):
    """One format each draw; half of them in the place of an earlier export."""

    def prepare(self) -> None:
        """Import TensorFlow and the converters; nothing is computed before a fork."""
        from graft.networks.engines.tensorflow_import import import_tensorflow

        import_tensorflow()
        load("keras", "openvino", "onnxruntime", "tf2onnx", "graft.deployment.export.export_model")
        load("graft.training.write_bundle")

    def make(self, root: Path) -> None:
        """A trained model."""
        make_trained(root)

    def variant(self, draw: int) -> int:
        """Each format is written by other calls."""
        return draw % len(FORMATS)

    def before(self, root: Path, draw: int) -> Any:
        """The photographs; an earlier export is laid where the new one comes."""
        if draw // 10 % 2:
            folder = self._folder(root, draw)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "earlier").write_text("of last week")
        return photograph_bytes(root)

    def act(self, root: Path, draw: int) -> None:
        """The export, each format of which is in place when it has been checked."""
        from graft.core.environment import configure
        from graft.deployment.export.export_model import export
        from graft.registry.resolve import resolve_model

        project = Project(root)
        configure(project)
        name = FORMATS[self.variant(draw)]
        for _ in export(project, resolve_model(project, str(root / "model")), [name], False, 0.0, root / "out", True):
            pass

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """What is there is the earlier export, or a whole new one."""
        assert photograph_bytes(root) == before, "a photograph was changed"
        folder = self._folder(root, draw)
        if not folder.exists() or (folder / "earlier").exists():
            return
        names = _NAMES.setdefault(self.variant(draw), _files(folder))
        assert _files(folder) == names, f"half an export: {_files(folder)} of {names}"
        empty = [name for name in names if not (folder / name).stat().st_size and not name.endswith("fingerprint.pb")]
        assert empty == [], f"empty: {empty}"

    def following(self, root: Path, draw: int) -> None:
        """The same export, and the model that it made is loaded and run."""
        import numpy as np
        from tiny import SIZE

        from graft.deployment.export.export_model import load_exported

        self.act(root, draw)
        run = load_exported(self._folder(root, draw), FORMATS[self.variant(draw)])
        assert run(np.zeros((1, SIZE, SIZE, 3), np.uint8)).shape == (1, 3)

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """The whole export, and nothing beside it."""
        self.check_after(root, draw, before)
        assert not (self._folder(root, draw) / "earlier").exists(), "the earlier export is still there"
        # What a process that was killed leaves goes after a day.
        seen = [path.name for path in (root / "out").iterdir() if not path.name.startswith(".")]
        assert seen == [FORMATS[self.variant(draw)]], seen

    def _folder(self, root: Path, draw: int) -> Path:
        return root / "out" / FORMATS[self.variant(draw)]


# By format, the files of the run without a fault.
_NAMES: dict[int, list[str]] = {}


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


KIND = Export()
