"""Which rule keeps the best model in production over a year? 1,500 simulated years of each, in three settings.

    python -m benchmarks.gate_policies

Each week a model is trained. True accuracies rise by 12 points in 45 weeks, as the square root of the time, and spread
about that by chance; the test images measure each with an error of its own. A policy decides each week, from what was
measured alone, whether the newest model goes into production. Spread and error are those that were measured in
docs/year.md's two years: hand signs (single images) and rock-paper-scissors (whole hands). Rise, spread and error
reproduce the figures that were published for the first policies within 0.3 points.

Printed for each policy: the true accuracy in production less that of the average model of the week, in points, at the
end of the year, its worst 5 %, and on average over the year; and how often a year it falls by more than 2 points.

The last policies are graft's own code (graft.evaluation.shrinkage): with the test images alone, and with the
deliveries, which the models in the registry answer before they are trained on.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graft.evaluation.betting import Bets
from graft.evaluation.shrinkage import is_worth_it, shrink
from graft.registry.promotion.standing import LINE

YEARS, WEEKS = 1500, 45
RISE = 0.12
MAX_LOSS, CONFIDENCE = 0.02, 0.95
_SURE = 1.645  # one-sided 95 %
# One-sided 95 % of Student's t with 11 degrees of freedom, for 12 groups.
_SURE_OF_GROUPS = 1.796
# Share of a delivery that stays a test image for ever; the rest is trained on once it was judged.
TO_TEST = 0.15


@dataclass(frozen=True)
class Setting:
    """How models differ and how well that can be seen, in parts of 1.

    Attributes:
        spread: standard deviation of true accuracies about the trend.
        noise: standard deviation of what the test images say of one model, independent between models.
        units: of the test images that are independent: images, or groups.
        weekly: new units a week.
        images_error: standard error of a difference, were all images independent.
        quantile: of the right interval.
    """

    name: str
    spread: float
    noise: float
    units: int
    weekly: float
    images_error: float
    quantile: float


SETTINGS = (
    Setting("independent images", 0.020, 0.013, 300, 20, 0.013 * math.sqrt(2), _SURE),
    # 372 frames, of which 14 % tell two models apart.
    Setting("12 groups", 0.015, 0.025, 12, 1, math.sqrt(0.14 / 372), _SURE_OF_GROUPS),
    # As the first, with a fifth of its test images and twice the deliveries.
    Setting("60 images", 0.020, 0.225 / math.sqrt(60), 60, 40, 0.225 * math.sqrt(2 / 60), _SURE),
)


class Years:
    """Models of many years, and what is measured of them week by week.

    Attributes:
        setting: they are of.
        trend: mean accuracy of the recipe, ``[W]``.
        true: accuracies ``[Y, W]``.
        errors: of what the first test images say, of every unit or, of single images, in sum: ``[Y, W, U]``.
        champion: the week of the model in production, ``[Y]``.
    """

    def __init__(self, setting: Setting, years: int, seeds: int, seed: int) -> None:
        self.setting = setting
        chance = np.random.default_rng(seed)
        self.trend = RISE * np.sqrt(np.arange(WEEKS) / (WEEKS - 1))
        self.true = self.trend + chance.normal(0, setting.spread / math.sqrt(seeds), (years, WEEKS))
        # Of groups each error is wanted, for what is estimated from them has its own error.
        units = setting.units if setting.units < 100 else 1
        self.errors = chance.normal(0, setting.noise * math.sqrt(units), (years, WEEKS, units))
        self.later = chance.normal(0, setting.noise * math.sqrt(setting.units), (years, WEEKS, WEEKS))
        self.champion = np.zeros(years, np.int64)
        self.lines = np.arange(years)
        self.bets, self._chance = Bets((years,)), chance
        self.measured = self.true + self.errors.mean(axis=2)

    def with_deliveries(self, week: int) -> tuple[np.ndarray, np.ndarray]:
        """Return accuracies ``[Y, K]`` of the models up to a week, and their variances ``[K]``, by all there is so far.

        Of a delivery, the share that goes to test measures every model, the rest those that were there before it.
        """
        units = np.full(week + 1, float(self.setting.units))
        sums = self.measured[:, : week + 1] * units
        for delivered in range(1, week + 1):
            before = np.arange(week + 1) < delivered
            weight = self.setting.weekly * np.where(before, 1.0, TO_TEST)
            error = self.later[:, delivered, : week + 1] / np.sqrt(weight)
            sums += weight * (self.true[:, : week + 1] + error)
            units += weight
        return sums / units, self.setting.noise**2 * self.setting.units / units

    def evidence(self, week: int) -> np.ndarray:
        """Return what bets on the week's delivery, and on those before it, say against the champion, ``[Y]``.

        The latest challenger before the delivery is compared with the champion on each unit of it that is no test
        image. To be called once a week; a new champion is bet against anew.
        """
        if week < 2:
            return np.ones(len(self.lines))
        setting, latest = self.setting, np.where(self.champion == week - 1, week - 2, week - 1)
        weight = setting.weekly * (1 - TO_TEST)
        difference = (self.true + self.later[:, week] / math.sqrt(weight))[self.lines, latest]
        difference -= (self.true + self.later[:, week] / math.sqrt(weight))[self.lines, self.champion]
        self.bets.restart(self.champion == week - 1)
        if weight < 2:
            self.bets.settle(np.clip(difference, -1, 1))
            return self.bets.wealth
        # Single images, of which one of the two models is right on some: as many as make that difference.
        count = round(weight)
        sums = np.clip(np.floor(count * difference + self._chance.random(len(difference))), -count, count)
        apart = self._chance.binomial(count, 2 * setting.noise**2 * setting.units, len(difference))
        apart = np.maximum(apart, np.abs(sums))
        apart += (apart - sums) % 2
        places, gained = np.arange(count), ((apart + sums) / 2)[:, None]
        images = (places < gained).astype(float) - ((places >= gained) & (places < apart[:, None]))
        for one in self._chance.permuted(images, axis=1).T:
            self.bets.settle(one)
        return self.bets.wealth


Policy = Callable[[Years, int], np.ndarray]


def newest(years: Years, week: int) -> np.ndarray:
    """Promote always the newest."""
    return np.full(len(years.lines), week)


def images_interval(years: Years, week: int) -> np.ndarray:
    """Promote the newest where an interval of independent images excludes a loss of more than 2 points."""
    difference = years.measured[:, week] - years.measured[years.lines, years.champion]
    return _moved(years, week, difference >= _SURE * years.setting.images_error - MAX_LOSS)


def right_interval(years: Years, week: int) -> np.ndarray:
    """Do the same with an interval that has its level: over groups, or a score interval's width."""
    difference = years.measured[:, week] - years.measured[years.lines, years.champion]
    units = years.setting.units
    if years.errors.shape[2] > 1:
        by_group = years.errors[:, week] - years.errors[years.lines, years.champion]
        error = by_group.std(axis=1, ddof=1) / math.sqrt(units)
    else:
        error = np.full(len(years.lines), years.setting.images_error * math.sqrt(1 + _SURE**2 / units))
    return _moved(years, week, difference >= years.setting.quantile * error - MAX_LOSS)


def line_of_last_ten(years: Years, week: int) -> np.ndarray:
    """Promote the newest where it is better once both are drawn to a straight line through the last ten figures."""
    first = max(0, week - 9)
    weeks = np.arange(first, week + 1)
    centred = weeks - weeks.mean()
    figures = years.measured[:, first : week + 1]
    slope = np.maximum(figures @ centred / (centred @ centred), 0) if week > 2 else np.zeros(len(years.lines))
    level = figures.mean(axis=1)
    variance = years.true.var(axis=0).mean()
    kept = variance / (variance + years.setting.noise**2)

    def shrunk(places: np.ndarray) -> np.ndarray:
        # A champion from before the ten is drawn to where the line begins.
        trend = level + slope * (np.maximum(places, first) - weeks.mean())
        return np.asarray(trend + kept * (years.measured[years.lines, places] - trend))

    return _moved(years, week, shrunk(newest(years, week)) > shrunk(years.champion))


def graft_by_test(years: Years, week: int) -> np.ndarray:
    """Decide as graft's gate does, with the test images alone."""
    noise = np.full(week + 1, years.setting.noise**2)
    return _by_line(years, week, years.measured[:, : week + 1], noise, np.array([week]))


def graft_by_deliveries(years: Years, week: int) -> np.ndarray:
    """Decide as graft's gate does, with deliveries that are judged before they are trained on."""
    figures, noise = years.with_deliveries(week)
    return _by_line(years, week, figures, noise, np.array([week]))


def graft_by_deliveries_of_five(years: Years, week: int) -> np.ndarray:
    """Do the same, where the last five challengers may still be chosen."""
    figures, noise = years.with_deliveries(week)
    return _by_line(years, week, figures, noise, np.arange(max(0, week - 4), week + 1))


def right_interval_or_evidence(years: Years, week: int) -> np.ndarray:
    """Do as the right interval does, and promote where bets show a stuck champion and test shows no loss."""
    shown = years.evidence(week) >= 1 / (1 - CONFIDENCE)
    difference = years.measured[:, week] - years.measured[years.lines, years.champion]
    error = math.sqrt(2) * years.setting.noise
    freed = shown & (difference >= -years.setting.quantile * error)
    return np.where(freed, week, right_interval(years, week))


def graft_or_evidence(years: Years, week: int) -> np.ndarray:
    """Do as graft with deliveries does, and promote where bets show a stuck champion and no loss is expected."""
    shown = years.evidence(week) >= 1 / (1 - CONFIDENCE)
    figures, noise = years.with_deliveries(week)
    decided = _by_line(years, week, figures, noise, np.array([week]))
    expected = shrink(figures, np.diag(noise)).expected()
    freed = shown & (expected[:, week] >= expected[years.lines, years.champion])
    return np.where(freed, week, decided)


def _by_line(years: Years, week: int, figures: np.ndarray, noise: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    if week + 1 < LINE:
        return right_interval(years, week)
    line = shrink(figures, np.diag(noise))
    expected = line.expected()
    best = candidates[expected[:, candidates].argmax(axis=1)]
    gain = expected[years.lines, best] - expected[years.lines, years.champion]
    risk = line.risk(best, years.champion, MAX_LOSS)
    return np.where(is_worth_it(gain, risk, MAX_LOSS, CONFIDENCE), best, years.champion)


def _moved(years: Years, week: int, is_promoted: np.ndarray) -> np.ndarray:
    return np.where(is_promoted, week, years.champion)


POLICIES: dict[str, tuple[Policy, int]] = {
    "interval of single images (the old gate)": (images_interval, 1),
    "right interval": (right_interval, 1),
    "right interval, five seeds averaged": (right_interval, 5),
    "right interval, or evidence of deliveries": (right_interval_or_evidence, 1),
    "newest always": (newest, 1),
    "newest always, five seeds averaged": (newest, 5),
    "shrunk to the last ten": (line_of_last_ten, 1),
    "shrunk to the last ten, five seeds averaged": (line_of_last_ten, 5),
    "graft, test images alone": (graft_by_test, 1),
    "graft, deliveries judged first": (graft_by_deliveries, 1),
    "the same, or evidence of deliveries": (graft_or_evidence, 1),
    "the same, of the last five challengers": (graft_by_deliveries_of_five, 1),
}


@dataclass(frozen=True)
class Outcome:
    """What a policy comes to: points against the average model of the week, and drops of more than 2 points a year."""

    end: float
    worst: float
    average: float
    drops: float
    promotions: float


def simulate(setting: Setting, policy: Policy, seeds: int = 1, years: int = YEARS, seed: int = 1) -> Outcome:
    """Run a policy through the years; the same seed has the same models for every policy."""
    run = Years(setting, years, seeds, seed)
    production = np.empty((years, WEEKS))
    production[:, 0] = run.true[:, 0]
    promotions = 0.0
    for week in range(1, WEEKS):
        chosen = policy(run, week)
        promotions += float(np.mean(chosen != run.champion))
        run.champion = chosen
        production[:, week] = run.true[run.lines, chosen]
    against = 100 * (production - run.trend)
    drops = (np.diff(production, axis=1) < -MAX_LOSS).sum() / years
    end = against[:, -1]
    return Outcome(float(end.mean()), float(np.quantile(end, 0.05)), float(against.mean()), float(drops), promotions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=YEARS)
    years = parser.parse_args().years
    for setting in SETTINGS:
        print(f"\n{setting.name}: spread {100 * setting.spread:.1f}, error {100 * setting.noise:.1f} points\n")
        print("| policy | at the end | worst 5 % | on average | drops a year | promotions |\n|---|---|---|---|---|---|")
        for name, (policy, seeds) in POLICIES.items():
            of = simulate(setting, policy, seeds, years)
            print(
                f"| {name} | {of.end:+.2f} | {of.worst:+.1f} | {of.average:+.2f} | {of.drops:.2f} "
                f"| {of.promotions:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
