"""The course of a training as one self-contained HTML file beside the dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dragoman.tools.training.log import LOG, Logged, TrainingLog
from dragoman.tools.training.settings import Settings

from .plots import Axis, curve

PAGE = "training.html"
"""Name of the file in the dictionary's folder."""


def write_training_page(folder: Path, hooks: Sequence[str], settings: Settings) -> Path:
    """Write the page about the log in a dictionary's folder and return it."""
    lines = TrainingLog(folder / LOG).lines()
    environment = Environment(
        loader=PackageLoader("dragoman.evals.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = environment.loader.get_source(environment, "style.css")[0] if environment.loader else ""
    last = lines[-1]
    tiles = [
        ("of the variance explained", f"{1 - last.unexplained:.2%}"),
        ("features active at a token", f"{last.active:.1f}"),
        ("of the features dead", f"{last.dead:.1%}"),
        ("tokens seen", f"{last.tokens:,}"),
        ("time", f"{last.seconds:,.0f} s"),
    ]
    path = folder / PAGE
    partial = path.with_suffix(".partial")
    partial.write_text(
        environment.get_template("training.html.j2").render(
            name=folder.resolve().name,
            what=f"{settings.architecture} of {settings.features:,} features at {', '.join(hooks)}",
            style=Markup(style),
            tiles=tiles,
            plots=_plots(lines),
            last=last.tokens // len(lines),
        ),
        "utf-8",
    )
    partial.replace(path)
    return path


def _plots(lines: Sequence[Logged]) -> list[Markup]:
    across = Axis("tokens seen, millions", 0.0, lines[-1].tokens / 1e6)

    def plot(title: str, label: str, value: Callable[[Logged], float]) -> Markup:
        points = [(line.tokens / 1e6, value(line)) for line in lines]
        high = sorted(y for _, y in points)[int(0.98 * (len(points) - 1))]  # the first steps would flatten all the rest
        return curve(title, across, Axis(label, 0.0, 1.05 * high or 1.0), points)

    return [
        plot("Variance unexplained", "share of the variance", lambda line: line.unexplained),
        plot("Loss", "loss", lambda line: line.loss),
        plot("Features active at a token (L0)", "features", lambda line: line.active),
        plot("Dead features", "share of the features", lambda line: line.dead),
        plot("Learning rate", "rate", lambda line: line.rate),
    ]
