"""params.yaml into typed models: what is shipped is valid, and every mistake is named with its remedy."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from graft.core.errors import GraftError
from graft.core.params import load_params, parse_params
from graft.core.params.backbone_params import HubBackboneParams
from graft.core.params.models import SplitParams, SplitSeverity, ValidateParams, ValidateSeverity
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, ScratchParams

SHIPPED = Path(__file__).resolve().parents[3] / "params.yaml"


def shipped() -> dict[str, Any]:
    """The shipped params, with strategies that leave nothing to auto."""
    yaml = YAML(typ="safe")
    raw = yaml.load(SHIPPED.read_text(encoding="utf-8"))
    return {**raw, **yaml.load(Path(__file__).with_name("explicit_train.yaml").read_text(encoding="utf-8"))}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The shipped params with the key at ``path`` set; ``...`` removes it."""
    raw = copy.deepcopy(shipped())
    *folders, last = path.split(".")
    section = raw
    for folder in folders:
        section = section[folder]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return raw


def complaint(raw: Any) -> str:
    with pytest.raises(GraftError) as caught:
        parse_params(raw)
    return str(caught.value)


def test_the_shipped_file_is_valid() -> None:
    params = load_params(SHIPPED)
    assert params.train.run == ["frozen", "fine_tune", "scratch"]
    kinds = [type(params.train.strategy(name)) for name in params.train.run]
    assert kinds == [FrozenParams, FineTuneParams, ScratchParams]


def test_every_key_of_the_shipped_file_carries_a_reason() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    parts = [line.partition("#") for line in lines if line.strip()]
    leaves = [(key.strip(), reason.strip()) for key, _, reason in parts if ":" in key and key.rstrip()[-1] != ":"]
    assert len(leaves) > 40
    assert [key for key, reason in leaves if not reason] == []


def test_the_rules_of_the_shipped_file_are_those_of_the_defaults() -> None:
    params, raw = load_params(SHIPPED), shipped()
    assert params.validate_ == ValidateParams()
    assert set(raw["validate"]["severity"]) == set(ValidateSeverity.model_fields)
    assert set(raw["split"]["severity"]) == set(SplitSeverity.model_fields)
    assert params.split == SplitParams()


def test_shared_settings_fill_in_what_a_strategy_does_not_name() -> None:
    params = parse_params(shipped()).train
    frozen, scratch = params.strategy("frozen"), params.strategy("scratch")
    assert isinstance(frozen, FrozenParams)
    assert frozen.image_size == params.image_size
    assert frozen.backbone == params.backbone
    assert scratch.image_size == 48
    own = parse_params(changed("train.strategies.frozen.backbone", {"source": "hub", "name": "folder"})).train
    assert own.strategy("frozen").backbone == HubBackboneParams(source="hub", name="folder")  # type: ignore[union-attr]


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert text.count("learning_rate: 0.001 ") == 1
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("learning_rate: 0.001 ", "learning_rate: 2e-3 "), encoding="utf-8")
    assert load_params(path).train.strategy("scratch").learning_rate == 0.002


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("train.strategies.frozen.learning_rat", 0.1, ["'train.strategies.frozen.learning_rat'", "0.1", "_rate'"]),
        ("train.strategies.fine_tune.augment.flips", "none", ["fine_tune.augment.flips'", "'none'", "'flip'"]),
        ("train.backbone.weight", "none", ["'train.backbone.weight'", "'none'", "'weights'"]),
        ("splits", {}, ["'splits'", "{}", "'split'"]),
        ("evaluate.batchsize", 8, ["'evaluate.batchsize'", "8", "'batch_size'"]),
        ("train.strategies.scratch.backbone", {"source": "keras"}, ["scratch.backbone'", "keras", "Known"]),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_the_nearest_one(path: str, value: Any, parts: list[str]) -> None:
    message = complaint(changed(path, value))
    assert "unknown key" in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("train.seed", "7", ["'train.seed'", "'7'", "str", "integer"]),
        ("train.seed", 7.5, ["'train.seed'", "7.5", "float", "integer"]),
        ("train.seed", True, ["'train.seed'", "True", "bool", "integer"]),
        ("train.image_size", 0, ["train.image_size: 0", "pixels a side, or auto"]),
        ("train.strategies.scratch.image_size", "big", ["scratch.image_size: 'big'", "or auto"]),
        ("train.strategies.fine_tune.unfreeze", 1.5, ["fine_tune.unfreeze: 1.5", "share of them (0.25)"]),
        ("train.strategies.fine_tune.unfreeze", True, ["fine_tune.unfreeze: True", "how many of the last ones"]),
        ("train.strategies.fine_tune.warm_up_epochs", 6, ["warm_up_epochs is 6, of 6 epochs", "fewer"]),
        ("train.strategies.scratch.weight_decay", 0.1, ["weight_decay is 0.1", "optimizer: adamw"]),
        ("train.strategies.scratch.network", "cnm", ["network' is 'cnm'", "'cnn' or 'mlp'"]),
        ("train.backbone", {"source": "hub", "name": "x"}, ["fine_tune.unfreeze is 'block_13_expand'", "no layers"]),
        ("train.strategies.scratch.learning_rate", -1, ["scratch.learning_rate'", "-1", "greater than 0"]),
        ("train.strategies.scratch.head.dropout", 1.0, ["scratch.head.dropout'", "1.0", "less than 1"]),
        ("train.strategies.frozen.class_weight", "equal", ["class_weight'", "'equal'", "'none' or 'balanced'"]),
        ("train.strategies.scratch.filters", 32, ["'train.strategies.scratch.filters'", "32", "list"]),
        ("train.strategies.scratch.filters", [32, "x"], ["'train.strategies.scratch.filters.1'", "'x'", "integer"]),
        ("train.strategies.scratch.filters", [], ["'train.strategies.scratch.filters'", "[]", "at least 1"]),
        ("split.method", "random", ["'split.method'", "'random'", "'stratified', 'group' or 'k_fold'"]),
        ("split.group_by", "(a", ["split.group_by", "'(a'", "not a regular expression"]),
        ("split.group_by", "hand[0-9]+", ["split.group_by", "0 capture groups", "(?P<group>...)"]),
        ("split.fold", 5, ["split: fold is 5", "0 to 4"]),
        ("split.val_size", 1.5, ["split.val_size", "1.5", "fraction between 0 and 1"]),
        ("validate.max_left_out", 2, ["'validate.max_left_out'", "2", "less than or equal to 1"]),
        ("validate.severity.aspect", "warning", ["'validate.severity.aspect'", "'warning'", "'warn' or 'off'"]),
        ("split.severity.split_size", "warn", ["unknown key 'split.severity.split_size'", "'split_sizes'"]),
        ("validate.formats", ["PNG", "HEIC"], ["'validate.formats.1'", "'HEIC'", "'JPEG', 'PNG'"]),
        ("validate.near_duplicate_bits", 9, ["'validate.near_duplicate_bits'", "9", "less than or equal to 8"]),
        ("register.metric", "auc", ["'register.metric'", "'auc'", "log_loss"]),
        ("validate", None, ["'validate'", "None"]),
        ("train.run", "frozen", ["'train.run'", "'frozen'", "list"]),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_would_be_right(path: str, value: Any, parts: list[str]) -> None:
    message = complaint(changed(path, value))
    assert all(part in message for part in parts), message


def test_an_unknown_kind_of_strategy_is_named_with_the_known_ones() -> None:
    message = complaint(changed("train.strategies.frozen.kind", "freezing"))
    assert "'train.strategies.frozen.kind' is 'freezing'" in message
    assert "frozen" in message.partition("freezing")[2]


def test_a_strategy_without_a_kind_is_refused() -> None:
    message = complaint(changed("train.strategies.frozen.kind", ...))
    assert "'train.strategies.frozen' has no 'kind'" in message


def test_an_unknown_source_of_backbones_is_named() -> None:
    message = complaint(changed("train.backbone.source", "torch"))
    assert "'train.backbone.source' is 'torch'" in message
    assert "keras" in message
    assert "hub" in message


def test_run_names_only_strategies_that_are_there() -> None:
    message = complaint(changed("train.run", ["frozen", "fine_tun"]))
    assert "'fine_tun'" in message
    assert "Did you mean 'fine_tune'?" in message


def test_run_names_no_strategy_twice() -> None:
    assert "twice" in complaint(changed("train.run", ["frozen", "frozen"]))


def test_names_of_strategies_can_be_folders() -> None:
    raw = shipped()
    raw["train"]["strategies"]["../up"] = raw["train"]["strategies"]["frozen"]
    message = complaint(raw)
    assert "'../up'" in message
    assert "letters, digits" in message


@pytest.mark.parametrize("section", ["validate", "split", "train", "ensemble", "evaluate", "register"])
def test_a_missing_section_is_named(section: str) -> None:
    message = complaint(changed(section, ...))
    assert f"'{section}' is missing" in message


def test_a_missing_key_is_named() -> None:
    assert "'train.strategies.scratch.epochs' is missing" in complaint(changed("train.strategies.scratch.epochs", ...))


def test_other_mistakes_are_counted() -> None:
    raw = changed("train.seed", "7")
    raw["split"]["sed"] = 3
    assert "(1 more after this one)" in complaint(raw)


@pytest.mark.parametrize("raw", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(raw: Any) -> None:
    assert "params.yaml" in complaint(raw)


def test_bad_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("validate: {}\nsplit: [1\ntrain: {}\n")
    with pytest.raises(GraftError, match=r"params.yaml line \d+ is not valid YAML"):
        load_params(path)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("validate: {}\nvalidate: {}\n")
    with pytest.raises(GraftError, match=r"line 2 is not valid YAML: .*duplicate key"):
        load_params(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"no params.yaml in .*Restore it with git"):
        load_params(tmp_path / "params.yaml")


def test_params_cannot_be_changed_afterwards() -> None:
    params = load_params(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        params.train.seed = 8  # type: ignore[misc]


@pytest.mark.parametrize("where", ["", "weights/", "../weights/"])
def test_m9_a_file_that_git_ignores_is_found_from_a_worktree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    root = tmp_path / "project"
    own = root / ".dvc/tmp/exps/graft-retrain/run"
    own.mkdir(parents=True)
    (root / where).mkdir(exist_ok=True)
    (root / where / "own.h5").touch()
    (root / "hub").mkdir()
    raw = changed("train.backbone.weights", f"{where}own.h5")
    raw["train"]["strategies"]["frozen"]["backbone"] = {"source": "hub", "name": "hub"}
    for folder in (root, own):
        YAML().dump(raw, folder / "params.yaml")
    monkeypatch.chdir(root)
    assert load_params(root / "params.yaml").train.backbone.weights == f"{where}own.h5"  # type: ignore[union-attr]
    for here in (own, tmp_path):
        monkeypatch.chdir(here)
        train = load_params((own if here == own else root) / "params.yaml").train
        assert train.backbone.weights == str(root / where / "own.h5")  # type: ignore[union-attr]
        assert train.strategies["frozen"].backbone.name == str(root / "hub")  # type: ignore[union-attr]
    (root / "imagenet").touch()
    YAML().dump(shipped(), own / "params.yaml")
    assert load_params(own / "params.yaml").train.backbone.weights == "imagenet"  # type: ignore[union-attr]


def test_the_old_name_of_a_limit_is_read_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    raw = changed("validate.max_left_out", ...)
    raw["validate"]["max_broken_share"] = 0.3
    assert parse_params(raw).validate_.max_left_out == 0.3
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert words.startswith("Write max_left_out: 0.3 in params.yaml for validate.max_broken_share: 0.3")
    assert parse_params(changed("validate.max_broken_share", 0.3)).validate_.max_left_out == 0.05
    assert "Remove validate.max_broken_share" in capsys.readouterr().err


def test_error_for_a_rule_about_single_images_means_that_they_are_left_out() -> None:
    severity = parse_params(changed("validate.severity.large_enough", "error")).validate_.severity
    assert severity.large_enough == "leave_out"
    with pytest.raises(GraftError, match=r"validate\.severity\.large_enough"):
        parse_params(changed("validate.severity.large_enough", ["error"]))
