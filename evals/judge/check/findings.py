"""What a check of a judge found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dragoman.evals.statistics import Calibration, Interval


@dataclass(frozen=True)
class Bias:
    """Which place among options a judge favours."""

    shares: tuple[float, ...]
    """Mean probability given to each place, every option having stood at every place once: alike without a bias."""
    accuracy: Interval
    """Share of the questions in which the right option got most; the interval is Wilson's."""

    @property
    def spread(self) -> float:
        """The most favoured place's share less the least favoured one's."""
        return max(self.shares) - min(self.shares) if self.shares else float("nan")


@dataclass(frozen=True)
class Packs:
    """The same questions, several texts a request."""

    detection: Interval
    """AUROC over all claims."""
    fuzzing: Interval
    """AUROC likewise."""
    place: Interval
    """How much likelier yes is said, the truth taken off, in the later half of a request than in the earlier: 0 if unbiased."""
    alone: int
    """Texts that had to be asked about alone after all."""


@dataclass(frozen=True)
class Findings:
    """What a judge answered to questions of which the answers are known."""

    judge: str
    """Its name."""
    questions: int
    """Questions asked."""
    detection: Mapping[str, Interval]
    """AUROC of detection over all claims (`all`), claims that name a word (`word`) and that describe a concept (`concept`)."""
    calibration: Calibration
    """Of detection."""
    fuzzing: Interval
    """AUROC of right highlights against as many wrong ones in the same text."""
    simulation: Interval
    """Correlation of simulated activation with the truth over tokens; 0 for a simulation that is the same everywhere."""
    position: Bias
    """Of choices among texts."""
    length: Interval
    """Mean probability of yes for a false claim made long, less that for the same claim made short: 0 without a bias."""
    written: Interval
    """Share of the texts written from claims that name a word in which the word occurs."""
    ways: Mapping[str, int]
    """How often answers were read in which way."""
    unreadable: str | None
    """One sentence about answers that could not be read."""
    constant: str | None
    """One sentence about a judge that answers the same to everything."""
    packs: Packs | None = None
    """What becomes of the answers where several texts stand in a request; None where that was not asked."""

    @property
    def verdict(self) -> str:
        """One sentence: fit to judge, or why not."""
        found = self.detection["all"]
        if found.n == 0:
            return f"Broken: no detection question could be read. {self.unreadable or ''}".strip()
        if self.constant:
            return f"Constant. {self.constant}"
        if found.low <= 0.5:
            return f"Not fit: it does not tell true claims from false ones (AUROC {found.value:.2f} {found.text('.2f')})."
        if found.value < 0.8:
            return f"Weak: it tells true claims from false ones with an AUROC of {found.value:.2f} {found.text('.2f')} only."
        return f"Fit: it tells true claims from false ones with an AUROC of {found.value:.2f} {found.text('.2f')}."
