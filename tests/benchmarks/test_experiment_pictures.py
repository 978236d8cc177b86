"""Pictures of an experiment and its ablation, of two strategies of seconds."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from tiny import tinted_images

from benchmarks.experiment_pictures import as_markdown, draw_experiment, first_images


def test_an_experiment_leaves_its_pictures_and_what_each_option_is_worth(tmp_path: Path, repository: Path) -> None:
    images, labels = tinted_images(64, 20, classes=2)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "photographs" / ("red", "green")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    data = first_images(tmp_path / "photographs", tmp_path / "data", 30)
    assert len(list(data.rglob("*.png"))) == 60

    raw = YAML(typ="safe").load((repository / "params.yaml").read_text(encoding="utf-8"))
    small = {"kind": "scratch", "filters": [4], "image_size": 16, "epochs": 2, "batch_size": 8, "learning_rate": 0.01}
    strategies = {"cnn": small, "no_dropout": {**small, "head": {"dropout": 0}}}
    raw["train"] |= {"run": list(strategies), "strategies": strategies, "validation": "split"}
    raw["ensemble"] |= {"run": [], "ensembles": {}}
    raw["sweep"]["try"] = {}
    out = tmp_path / "out"
    said = draw_experiment(raw, data, tmp_path / "project", out)
    assert said[0].startswith("cnn: test accuracy ")
    drawn = {f"{name}-{kind}.png" for name in strategies for kind in ("batches", "epochs", "confusion")}
    drawn |= {"cnn-kernels.png", "cnn-features.png", "ablation.png"}
    assert {path.name for path in out.iterdir()} == drawn | {"ablation.csv", "ablation.md"}
    for name in drawn:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 100
            assert picture.convert("L").getextrema()[0] < 128, "something is drawn"
    table = pd.read_csv(out / "ablation.csv")
    assert list(table["strategy"]) == list(strategies)
    assert table["cost"].tolist() == pytest.approx([0, table["log_loss"][1] - table["log_loss"][0]], abs=1e-5)
    assert (out / "ablation.md").read_text().splitlines() == as_markdown(table) == said[-len(table) - 2 :]
