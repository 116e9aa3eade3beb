"""What the page of several finders shows, as plain values: nothing here knows a model or torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from critpath.report.content import Picture


@dataclass(frozen=True)
class Estimate:
    """A mean over images and its 95 % interval; NaN where there is none (one image has no interval)."""

    mean: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Photograph:
    """One input: its name, the class predicted with its probability in [0, 1], what is explained, and the picture."""

    title: str
    predicted: str
    probability: float
    target: str
    picture: Picture | None = None


@dataclass(frozen=True)
class FinderRow:
    """One finder's pathways at one sparsity, over all images; shares are in [0, 1].

    ``dead`` is the share of the pathway that is dead on the input; ``class_kept`` of ``class_known`` images keep
    their class when only the pathway acts; ``connected`` is the share of the pathway that lies on routes of its
    neurons from input to response; ``outside`` the share that is not on the finder's own next larger pathway;
    ``alone`` the response, as a share, that the pathway gives when only it acts.
    ``stopped`` says, image by image, why a search ended elsewhere than asked.
    """

    finder: str
    realised: Estimate
    dead: Estimate
    class_kept: int
    class_known: int
    connected: Estimate
    outside: Estimate
    alone: Estimate
    stopped: tuple[str, ...] = ()

    @property
    def keeps_class(self) -> float:
        """The share of images that keep their class, NaN where there is none to keep."""
        return self.class_kept / self.class_known if self.class_known else math.nan


@dataclass(frozen=True)
class ComparedLevel:
    """All finders at one requested sparsity."""

    requested: float
    rows: tuple[FinderRow, ...]


@dataclass(frozen=True)
class Finder:
    """A finder: its name, whether it is a control, how it was set, and what it cost for one image.

    ``seconds`` is the mean time for an image, ``passes`` that time in forward and backward passes of one image.
    """

    name: str
    control: bool
    settings: str
    seconds: float
    passes: float


@dataclass(frozen=True)
class Pair:
    """Two finders' Jaccard at equal realised size, what chance gives, and the share of neurons compared."""

    jaccard: Estimate
    chance: float
    size: float


@dataclass(frozen=True)
class FinderCurve:
    """One finder's response kept and lost over the shares of neurons that act, or are taken out; and the areas."""

    finder: str
    kept: tuple[Estimate, ...]
    lost: tuple[Estimate, ...]
    kept_area: Estimate
    lost_area: Estimate


@dataclass(frozen=True)
class Curves:
    """All finders' curves under one kind of ablation; ``sizes`` are shares of neurons, ascending."""

    ablation: str
    sizes: tuple[float, ...]
    finders: tuple[FinderCurve, ...]


@dataclass(frozen=True)
class SiteOverlap:
    """Per site, from input to output, the mean Jaccard of a finder's pathway with that of the first finder, and what
    random sets of the same sizes within the site share."""

    finder: str
    jaccard: tuple[float, ...]
    chance: tuple[float, ...]


@dataclass(frozen=True)
class DecodedPicture:
    """A picture that raises the response of the network restricted to a pathway; ``value`` is the response reached."""

    name: str
    value: float
    picture: Picture | None
    note: str = ""


@dataclass(frozen=True)
class DecodedImage:
    """The pictures of one input's pathways."""

    title: str
    objective: str
    pictures: tuple[DecodedPicture, ...]


@dataclass(frozen=True)
class ComparisonContent:
    """Everything on the page that compares finders.

    ``levels`` are ascending in sparsity, ``main_level`` is the index of the one that the page is about. ``base_dead``
    is the share of all neurons that are dead. ``overlap`` [finders][finders] and ``site_overlap`` (all finders but
    the first) are at the main level; ``images`` is how many were compared, of which ``photographs`` shows the first.
    """

    title: str
    model: str
    target: str
    images: int
    photographs: tuple[Photograph, ...]
    finders: tuple[Finder, ...]
    base_dead: Estimate
    levels: tuple[ComparedLevel, ...]
    main_level: int
    overlap: tuple[tuple[Pair, ...], ...]
    sites: tuple[str, ...]
    site_overlap: tuple[SiteOverlap, ...]
    curves: tuple[Curves, ...]
    decoded: tuple[DecodedImage, ...]
    caveats: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def main(self) -> ComparedLevel:
        return self.levels[self.main_level]
