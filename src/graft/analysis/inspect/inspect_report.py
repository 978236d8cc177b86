"""Findings of an inspection as plain values: what the terminal, the page and the JSON are all made from."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Picture:
    """Describe one image by its path below data/ (with forward slashes), label and official split (``""``: none)."""

    path: str
    label: str
    split: str


@dataclass(frozen=True)
class ClassCount:
    """Images of one class by official split (``""`` without one), and how many of its files are left out."""

    label: str
    images: dict[str, int]
    left_out: int

    @property
    def total(self) -> int:
        return sum(self.images.values())


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of a figure."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class LeftOut:
    """A file that takes no part, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Alike:
    """Images that are the same picture: of equal bytes, or alike to the eye."""

    pictures: list[Picture]

    @property
    def labels(self) -> list[str]:
        return sorted({picture.label for picture in self.pictures})

    @property
    def splits(self) -> list[str]:
        return sorted({picture.split for picture in self.pictures})

    @property
    def conflicts(self) -> bool:
        """Return whether the same pixels have two labels: one of them is wrong, or the classes overlap."""
        return len(self.labels) > 1

    @property
    def leaks(self) -> bool:
        """Return whether the same pixels are on both sides of an official split, so that test figures are too good."""
        return len(self.splits) > 1


@dataclass(frozen=True)
class SimilarPair:
    """Two images with nearly the same features: cosine of the centred features, at most 1."""

    first: Picture
    second: Picture
    cosine: float

    @property
    def alike(self) -> Alike:
        return Alike([self.first, self.second])


@dataclass(frozen=True)
class Outlier:
    """An image far from the rest in one figure: its value, and its modified z-score."""

    picture: Picture
    value: float
    score: float


@dataclass(frozen=True)
class Extremes:
    """Outliers of one figure on one side, farthest first, and the value at which that side begins.

    ``limit`` is None where the figure does not vary, so that nothing can stand out.
    """

    outliers: list[Outlier]
    limit: float | None


@dataclass(frozen=True)
class LabelIssue:
    """A label that the rest of the data contradicts: probabilities are out of fold."""

    picture: Picture
    given_probability: float
    suggested: str
    suggested_probability: float


@dataclass(frozen=True)
class LabelCheck:
    """The search for label errors.

    Attributes:
        skipped: why there was none; ``""`` where there was.
        issues: least believable label first.
        checked: images whose label was checked.
        folds: parts of the cross-validation.
        agreement: share of the checked images whose label is the most probable one, out of fold.
        backbone: whose features the probabilities are made from, with the side of the images in pixels.
        notes: what was left out, in whole sentences.
    """

    skipped: str = ""
    issues: list[LabelIssue] = field(default_factory=list)
    checked: int = 0
    folds: int = 0
    agreement: float = 0.0
    backbone: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """All that an inspection found.

    Attributes:
        dataset: its name, as data.dvc has it.
        images: readable ones.
        bytes: of all files, those left out included.
        splits: the official splits in their order; ``[""]`` without any.
        classes: in order of their name, also those without an image.
        width, height: pixels, as stored.
        formats, modes: images by Pillow's name of the file format, and of the kind of pixels.
        brightness, sharpness: see the manifest.
        copies: exact copies, at least two images each; conflicting ones first, then those across splits.
        near_duplicates: groups alike to the eye that are more than exact copies, in the same order.
        similar: pairs that only the backbone's features find, most alike first; empty without a label check.
    """

    dataset: str
    images: int
    bytes: int
    splits: list[str]
    classes: list[ClassCount]
    width: Spread
    height: Spread
    formats: dict[str, int]
    modes: dict[str, int]
    brightness: Spread
    sharpness: Spread
    left_out: list[LeftOut]
    copies: list[Alike]
    near_duplicates: list[Alike]
    darkest: Extremes
    brightest: Extremes
    blurriest: Extremes
    labels: LabelCheck
    similar: list[SimilarPair]

    def as_json(self) -> dict[str, Any]:
        """Return the report as dictionaries, lists, strings and numbers."""
        result = asdict(self)
        for name, groups in (("copies", self.copies), ("near_duplicates", self.near_duplicates)):
            for entry, group in zip(result[name], groups, strict=True):
                entry |= {"conflicts": group.conflicts, "leaks": group.leaks}
        return result
