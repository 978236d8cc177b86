"""Every figure against scikit-learn's, and by hand where it has none; intervals that do not flatter."""

import numpy as np
import pytest
from sklearn import metrics

from graft.evaluation.all_figures import OF_SUMS, AllFigures, all_figures, figures_of_sums, sums_of
from graft.evaluation.headline import Figure, Headline
from graft.evaluation.intervals import share_interval
from graft.evaluation.metrics import calibration_error_by_chance, expected_calibration_error


def drawn(seed: int, count: int = 200) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, probabilities and classes, of which the last has no image in some draws, and another is never named."""
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 9))
    labels = random.integers(0, max(2, classes - seed % 2), count)
    probabilities = random.dirichlet(np.full(classes, 0.3), count)
    probabilities[np.arange(count), labels] += random.random(count)
    if classes > 3:
        probabilities[:, 1] = 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, probabilities, [f"class {number}" for number in range(classes)]


@pytest.fixture(scope="module", params=range(6))
def compared(request: pytest.FixtureRequest) -> tuple[AllFigures, np.ndarray, np.ndarray, list[str]]:
    labels, probabilities, classes = drawn(request.param)
    return all_figures(labels, probabilities, classes), labels, probabilities, classes


@pytest.mark.filterwarnings("ignore")
def test_figures_are_those_of_scikit_learn(compared: tuple[AllFigures, np.ndarray, np.ndarray, list[str]]) -> None:
    found, labels, probabilities, classes = compared
    predicted, indices = probabilities.argmax(axis=1), list(range(len(classes)))
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "macro_precision": metrics.precision_score(labels, predicted, average="macro", zero_division=0),
        "macro_recall": metrics.recall_score(labels, predicted, average="macro", zero_division=0),
        "weighted_precision": metrics.precision_score(labels, predicted, average="weighted", zero_division=0),
        "weighted_f1": metrics.f1_score(labels, predicted, average="weighted"),
        "log_loss": metrics.log_loss(labels, probabilities, labels=indices),
        "kappa": metrics.cohen_kappa_score(labels, predicted),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
    }
    if len(classes) == 2:
        expected["brier"] = metrics.brier_score_loss(labels, probabilities[:, 1])
        expected["roc_auc"] = metrics.roc_auc_score(labels, probabilities[:, 1])
    else:
        expected["brier"] = metrics.brier_score_loss(labels, probabilities, labels=indices)
    if len(classes) > 2:
        expected["top_2_accuracy"] = metrics.top_k_accuracy_score(labels, probabilities, k=2, labels=indices)
    if len(np.unique(labels)) == len(classes) > 2:
        expected["roc_auc"] = metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    for name, value in expected.items():
        assert found.figures[name].value == pytest.approx(value), name


def test_every_interval_holds_its_figure(compared: tuple[AllFigures, np.ndarray, np.ndarray, list[str]]) -> None:
    found = compared[0]
    with_ends = {name: figure for name, figure in found.figures.items() if figure.interval}
    assert {"accuracy", "macro_f1", "log_loss", "brier", "kappa", "mcc"} <= set(with_ends)
    for name, figure in with_ends.items():
        assert figure.interval is not None
        assert figure.interval.low <= figure.value <= figure.interval.high, name


def test_ranks_of_a_class_by_hand() -> None:
    # Of class 1, images 1 and 3 of four; by its probability they stand first and third.
    stated = np.array([0.6, 0.9, 0.1, 0.4])
    found = all_figures(np.array([0, 1, 0, 1]), np.stack([1 - stated, stated], axis=1), ["no", "yes"])
    assert found.per_class["yes"]["roc_auc"] == pytest.approx(3 / 4)  # pairs in the right order
    assert found.per_class["yes"]["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_without_an_error_no_figure_is_certain() -> None:
    labels = np.arange(300) % 3
    found = all_figures(labels, np.eye(3)[labels] * 0.97 + 0.01, ["a", "b", "c"])
    low = share_interval(np.ones(300, bool)).low
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "kappa", "mcc", "macro_precision"):
        interval = found.figures[name].interval
        assert interval is not None
        assert interval.low <= low < 1 == interval.high, name


def test_groups_make_intervals_wider_and_are_counted() -> None:
    random = np.random.default_rng(0)
    names = np.repeat(np.arange(12), 25)
    labels = np.arange(300) % 2
    is_right = random.random(300) < np.clip(random.normal(0.85, 0.12, 12), 0, 1)[names]
    taken = np.where(is_right, labels, 1 - labels)
    probabilities = np.eye(2)[taken] * 0.8 + 0.1
    alone, grouped = (all_figures(labels, probabilities, ["a", "b"], groups) for groups in (None, names))
    assert (alone.groups, grouped.groups, grouped.images) == (300, 12, 300)
    for name in ("accuracy", "macro_f1", "log_loss"):
        one, other = alone.figures[name].interval, grouped.figures[name].interval
        assert one is not None
        assert other is not None
        assert other.high - other.low > 1.5 * (one.high - one.low), name
        assert alone.figures[name].value == grouped.figures[name].value


def test_one_group_leaves_a_log_loss_without_an_interval() -> None:
    labels, probabilities, classes = drawn(3, 20)
    found = all_figures(labels, probabilities, classes, np.zeros(20))
    assert found.figures["log_loss"].interval is None
    assert "log_loss" not in found.headline.as_json()["low"]
    assert found.figures["accuracy"].interval is not None


def test_what_is_written_is_short_and_flat_and_reads_back() -> None:
    labels, probabilities, classes = drawn(2)
    found = all_figures(labels, probabilities, classes)
    assert Headline.from_json(found.headline.as_json()) == found.headline
    assert Headline.from_json({"test": {"accuracy": 0.5}}).figures["accuracy"] == Figure(0.5)
    assert list(found.headline.as_json()["test"]) == ["accuracy", "macro_f1", "log_loss"]
    assert found.headline.as_json()["low"]["accuracy"] == found.flat()["accuracy_low"]
    assert found.flat()["images"] == found.headline.images == 200
    assert all(np.isfinite(value) for value in found.flat().values())


def test_chance_alone_makes_a_calibration_error() -> None:
    """Labels drawn with the stated probabilities have, on average, the error that is said to come of chance."""
    random = np.random.default_rng(4)
    right_stated = random.uniform(0.5, 1, 60)
    probabilities = np.stack([right_stated, 1 - right_stated], axis=1)
    errors = [
        expected_calibration_error((random.random(60) > right_stated).astype(int), probabilities) for _ in range(400)
    ]
    chance = calibration_error_by_chance(probabilities)
    assert chance.mean() == pytest.approx(np.mean(errors), rel=0.05)
    assert chance.mean() > 0.08  # which a limit of 0.05 would refuse, though nothing is wrong
    assert np.mean(errors > np.quantile(chance, 0.95)) == pytest.approx(0.05, abs=0.035)


def test_certain_answers_are_right_by_chance_too() -> None:
    assert calibration_error_by_chance(np.eye(3)[[0, 1, 2, 0]]).max() == 0


def test_figures_of_a_good_model_of_uneven_classes_are_covered_by_simulation() -> None:
    """One error in a hundred, and thirty images of the rare class: in most draws of 300 images it has no error."""
    random = np.random.default_rng(0)

    def images(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.choice(3, count, p=[0.6, 0.3, 0.1])
        logits = random.normal(0, 1, (count, 3))
        logits[np.arange(count), labels] += 3.6
        exact = np.exp(logits)
        return labels, exact / exact.sum(axis=1, keepdims=True)

    sums = np.asarray(sums_of(*images(100_000)).sum(axis=0)).reshape(1, -1)
    truth = dict(zip(OF_SUMS, figures_of_sums(sums)[0].tolist(), strict=True))
    names, trials = ("macro_f1", "macro_precision", "balanced_accuracy", "kappa", "log_loss"), 60
    covered = dict.fromkeys(names, 0)
    for _ in range(trials):
        found = all_figures(*images(300), ["a", "b", "c"]).figures
        for name in names:
            interval = found[name].interval
            assert interval is not None
            covered[name] += truth[name] in interval
    # Of 60 at 0.95 fewer than 51 would be less likely than one in a hundred.
    assert {name: times for name, times in covered.items() if times < 51} == {}
