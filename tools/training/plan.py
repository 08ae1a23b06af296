"""Which dictionaries a run trains: hook points and architecture, checked against the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.store.errors import UserError
from dragoman.tools.hooks import parse_hook_point
from dragoman.tools.subject import Subject

from .settings import Settings, Shape

_MLP_READERS = ("mlp_in", "mlp_normalized", "resid_mid")


@dataclass(frozen=True, slots=True)
class Job:
    """One dictionary of a run."""

    folder: str
    """Its folder inside the run's; `.` where there is only one dictionary."""
    shape: Shape
    """Its hook points and widths."""


def jobs(subject: Subject, hooks: Sequence[str], settings: Settings) -> list[Job]:
    """The dictionaries to train.

    Raises:
        UserError: hook points are missing, named twice, unknown to the model, or do not fit the architecture.
    """
    if settings.architecture == "cross-layer":
        if hooks:
            raise UserError("A cross-layer transcoder reads the MLPs of all layers: leave --hook out.")
        inputs = tuple(f"mlp_in.{layer}" for layer in range(subject.layers))
        outputs = tuple(f"mlp_out.{layer}" for layer in range(subject.layers))
        return [Job(".", Shape(inputs, outputs, subject.width(inputs[0]), subject.width(outputs[0])))]
    if not hooks:
        raise UserError("Say which hook point the dictionary reads, for example --hook resid_post.2; several are possible.")
    points = [str(subject.check(parse_hook_point(hook))) for hook in hooks]
    for point in points:
        if points.count(point) > 1:
            raise UserError(f"The hook point {point} is named twice.")
    shapes = [_shape(subject, point, settings) for point in points]
    return [Job("." if len(points) == 1 else point, shape) for point, shape in zip(points, shapes, strict=True)]


def _shape(subject: Subject, point: str, settings: Settings) -> Shape:
    width = subject.width(point)
    if "transcoder" not in settings.architecture:
        return Shape((point,), (point,), width, width)
    kind, layer = point.split(".")
    if kind not in _MLP_READERS:
        raise UserError(
            f"A transcoder reads the input of an MLP, such as mlp_in.{layer}, and writes its output; {point} is neither."
        )
    output = f"mlp_out.{layer}"
    return Shape((point,), (output,), width, subject.width(output), settings.architecture == "skip-transcoder")
