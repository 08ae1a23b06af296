"""Where a debate stands: who holds which label, and the score. Kept in the thread of the feature as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Seat = Literal["A", "B"]
"""The two sides of a debate."""
SEATS: tuple[Seat, Seat] = ("A", "B")


def other(seat: Seat) -> Seat:
    """The seat across."""
    return "B" if seat == "A" else "A"


class Exchange(BaseModel):
    """One experiment of a debate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    """Its id."""
    by: Seat
    """Who proposed it."""
    held: dict[Seat, str]
    """Id of the label that each side held then, and predicted by."""
    point: Seat | None = None
    """Who won a point: the predictions differed, and one held while the other failed."""


class Standing(BaseModel):
    """Where a debate stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    held: dict[Seat, str]
    """Ids of the labels."""
    points: dict[Seat, int] = {"A": 0, "B": 0}
    """The score."""
    round: int = 0
    """Rounds that are over."""
    quiet: int = 0
    """Rounds up to the last in which the labels predicted the same everywhere."""
    conceded: tuple[Seat, ...] = ()
    """Who gave up."""
    merged: bool = False
    """Whether both hold one label now."""
    exchanges: tuple[Exchange, ...] = ()
    """The experiments, in their order."""
    ended: str = ""
    """Why it is over; empty while it goes on."""

    @property
    def winner(self) -> Seat | None:
        """Who is ahead: the one that did not concede, else the one with more points; None for a draw and for one label."""
        if self.merged:
            return None
        if len(self.conceded) == 1:
            return other(self.conceded[0])
        if self.points["A"] == self.points["B"]:
            return None
        return "A" if self.points["A"] > self.points["B"] else "B"

    def untested(self, seat: Seat) -> bool:
        """Whether the label that a side holds predicted no experiment."""
        return all(self.held[seat] not in one.held.values() for one in self.exchanges)

    @property
    def favoured(self) -> str:
        """Id of the label that won; empty for a draw."""
        if self.merged:
            return self.held["A"]
        return self.held[self.winner] if self.winner else ""
