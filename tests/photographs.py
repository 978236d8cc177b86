"""A folder of generated photographs with everything in it that an inspection should find."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from graft.core.project import Project

# A name that is markup, and one that a URL must quote.
HOSTILE = '<b>&"x#1%.png'


def scene(colour: int, seed: int, side: int = 48) -> Image.Image:
    """Soft random shapes with one bright channel, so that hashes differ from picture to picture."""
    random = np.random.default_rng(seed)
    coarse = random.integers(20, 90, (6, 6, 3)).astype(np.uint8)
    coarse[:, :, colour] += (85, 45, 160)[colour]  # of about equal luma, so that no class is dark or bright
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def write_photographs(root: Path, per_class: int = 20) -> Project:
    """A project with an official split of three classes; ``per_class`` images each, a quarter of them in test."""
    project = Project(root)
    for colour, label in enumerate(("red", "green", "blue")):
        for i in range(per_class):
            split = "test" if i % 4 == 3 else "train"
            path = project.data / split / label / f"{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            scene(colour, 100 * colour + i).save(path)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return project


def add_oddities(project: Project) -> None:
    """Copies within a class, across classes and across splits; a near-duplicate, a dark, a blurred, a broken file."""
    data = project.data
    shutil.copy(data / "train/red/000.png", data / "train/red/same.png")
    shutil.copy(data / "train/red/001.png", data / "train/blue/conflict.png")
    shutil.copy(data / "test/green/003.png", data / "train/green/leak.png")
    scene(2, 200).resize((52, 52), Image.Resampling.BICUBIC).save(data / "train/blue/near.png")
    Image.new("RGB", (48, 48), (1, 0, 0)).save(data / f"train/red/{HOSTILE}")
    scene(1, 999).filter(ImageFilter.GaussianBlur(12)).save(data / "train/green/blurred.png")
    (data / "train/green/broken.png").write_bytes(b"not a picture")
    (data / "train/empty <i>class").mkdir()


def manifest_rows(labels: list[str], sha256: list[str] | None = None) -> pd.DataFrame:
    """Readable images of a manifest, as far as the label check looks at it."""
    names = [f"{label}/{i}.png" for i, label in enumerate(labels)]
    return pd.DataFrame({"path": names, "label": labels, "split": "", "sha256": sha256 or names})
