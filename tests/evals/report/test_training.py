"""The page about a training: curves of the log, nothing fetched, names escaped."""

from __future__ import annotations

import re
from pathlib import Path

from dragoman.evals.report.training import write_training_page
from dragoman.tools.training.log import Logged, TrainingLog
from dragoman.tools.training.settings import Settings


def logged(step: int) -> Logged:
    return Logged(step, step * 4096, 1.5 / step, 1.0 / step, 32.0, 0.25, 1e-3, 2.0 * step)


def written(folder: Path, steps: int) -> str:
    log = TrainingLog(folder / "training.jsonl", 0)
    for step in range(1, steps + 1):
        log.add(logged(step))
    return write_training_page(folder, ["resid_post.2"], Settings()).read_text()


def test_every_curve_has_every_point_and_its_last_value(tmp_path: Path) -> None:
    page = written(tmp_path, 50)
    curves = re.findall(r'<path class="curve" d="M([^"]+)"', page)
    titles = re.findall(r'<text class="title"[^>]*>([^<]+)', page)
    assert titles == ["Variance unexplained", "Loss", "Features active at a token (L0)", "Dead features", "Learning rate"]
    assert [len(curve.split("L")) for curve in curves] == [50] * 5
    heights = [float(point.split()[1]) for point in curves[0].split("L")]
    assert heights == sorted(heights) and heights[0] < heights[-1]  # down on the page is less
    assert "at the end 0.02;" in page
    for tile in ("98.00%", "32.0", "25.0%", "204,800", "100 s"):
        assert f"<b>{tile}</b>" in page


def test_one_line_is_enough(tmp_path: Path) -> None:
    assert "n = 1 points" in written(tmp_path, 1)


def test_nothing_is_fetched_and_names_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x>"
    page = written(folder, 3)
    assert "<img" not in page
    assert not re.search(r"https?://|<script|@import|url\(", page)
