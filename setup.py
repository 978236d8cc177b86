"""Packs the files of a project into the wheel, for `graft init`: the repository's own, which is a project itself.

Nothing else: all the rest of the build stands in pyproject.toml. An editable install uses the files where they lie.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
TARGET = "graft/automation/projects/files"
FILES = ("params.yaml", "dvc.yaml", "prefect.yaml", ".gitignore", ".dvcignore", "pipelines/*.py")


class BuildWithProjectFiles(build_py):
    """Copy what a project consists of beside the code that writes it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, TARGET)
        shutil.rmtree(folder, ignore_errors=True)
        for pattern in FILES:
            for source in sorted(ROOT.glob(pattern)):
                target = folder / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithProjectFiles})
