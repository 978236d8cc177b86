"""What was decided, beside an exported file: the recipe in its README runs as it stands, without graft."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from graft.bundle.decisions import FEATURES_FILE, unit
from graft.deployment.export.description import write_decisions


def test_the_recipe_answers_as_the_model_does(tmp_path: Path) -> None:
    bundle, folder = tmp_path / "bundle", tmp_path / "export"
    bundle.mkdir()
    folder.mkdir()
    training = unit(np.eye(3, 4))
    np.savez_compressed(bundle / FEATURES_FILE, features=training.astype(np.float16))
    (folder / "labels.txt").write_text("ant\nbee\n")
    decided = {"unknown": 0.05, "limits": {"distance": 0.3, "probability": 0.6}, "thresholds": {"bee": 0.9}}
    lines = write_decisions(folder, bundle, decided)
    assert json.loads((folder / "decisions/decide.json").read_text()) == decided
    recipe = "\n".join(lines[lines.index("```python") + 1 : lines.index("```")]).replace("# far =", "far =")
    given = "import numpy as np\nprobabilities = np.array([[.1, .9], [.9, .1], [.2, .8], [.55, .45], [.9, .1]])\n"
    given += "features = np.array([[1, 0, 0, 0]] * 4 + [[0, 0, 0, 5]])\n"
    code = f"{given}{recipe}\nprint(answers)"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{code}"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == "['bee', 'ant', 'ant', 'unknown', 'unknown']", ran.stderr


def test_nothing_is_written_where_nothing_was_decided(tmp_path: Path) -> None:
    assert write_decisions(tmp_path, tmp_path, {}) == []
    assert not list(tmp_path.iterdir())
