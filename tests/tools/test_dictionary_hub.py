"""From the hub only what is needed is fetched, and what was fetched before is used offline."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import Recipe, load, load_all, make_coder, save_saelens
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
D, F = 16, 40


def layer() -> dict[str, torch.Tensor]:
    """A per-layer transcoder in circuit-tracer's layout."""
    return {"W_enc": torch.randn(F, D), "W_dec": torch.randn(F, D), "b_enc": torch.zeros(F), "b_dec": torch.zeros(D)}


def saved(folder: Path, hook_in: str, hook_out: str) -> None:
    weights = layer()
    weights["W_enc"] = weights["W_enc"].T
    save_saelens(make_coder("mine", hook_in, hook_out, Recipe("relu"), weights), folder)


def fails(message: str, spec: str, subject: Subject) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_all([spec], subject)
    assert "\n" not in str(caught.value)


class Hub:
    """Stands for the hub: a folder of files, and a record of what was downloaded."""

    def __init__(self, files: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.cache, self.online = files, cache, True
        self.fetched: list[str] = []
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.snapshot)
        monkeypatch.setattr("dragoman.tools.dictionaries.hub._listed", self.listed)

    def listed(self, repo: str) -> list[str]:
        if not self.online:
            raise ConnectionError("no network")
        return sorted(str(f.relative_to(self.files)) for f in self.files.rglob("*") if f.is_file())

    def snapshot(self, repo: str, allow_patterns: list[str] | None = None, local_files_only: bool = False) -> str:
        if local_files_only:
            if not self.cache.exists():
                raise FileNotFoundError("never downloaded")
            return str(self.cache)
        for name in allow_patterns or []:
            target = self.cache / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.files / name, target)
            self.fetched.append(name)
        return str(self.cache)


def test_only_the_needed_files_are_fetched_from_the_hub(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, subject = tmp_path / "files", tiny("llama")
    saved(files / "resid" / "a", "resid_post.1", "resid_post.1")
    saved(files / "mlp" / "b", "mlp_in.1", "mlp_out.1")
    (files / "resid" / "a" / "big.bin").write_text("not needed")
    hub = Hub(files, tmp_path / "cache", monkeypatch)
    assert load("some/repo//resid/a", subject).facts.name == "a"
    assert sorted(hub.fetched) == ["resid/a/cfg.json", "resid/a/sae_weights.safetensors"]
    hub.online = False
    assert load("again=some/repo//resid/a", subject).facts.name == "again", "from the cache"
    fails("the hub gave no dictionary of that name", "some/repo//mlp/b", subject)
    hub.online = True
    fails(r"Folders in it that do: mlp/b, resid/a", "some/repo", subject)
    assert load("some/repo//mlp/b", subject).facts.hook_out == "mlp_out.1"
    fails("There is no dictionary not-a-hub-id", "not-a-hub-id", subject)


def test_one_layer_of_a_transcoder_on_the_hub(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(3):
        save_file(layer(), files / f"layer_{number}.safetensors")
    (files / "config.yaml").write_text("feature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n")
    hub = Hub(files, tmp_path / "cache", monkeypatch)
    one = load("some/repo//layer_2.safetensors", tiny("llama"))
    assert one.facts.hook_in == "mlp_in.2" and one.facts.source == "some/repo//layer_2.safetensors"
    assert sorted(hub.fetched) == ["config.yaml", "layer_2.safetensors"]
    # a cache that holds one layer is not taken for the whole set
    every = load_all(["plt=some/repo"], tiny("llama"))
    assert [d.facts.name for d in every] == ["plt.0", "plt.1", "plt.2"]
    assert every[1].facts.source == "some/repo//layer_1.safetensors"


def test_an_offline_hub_is_one_sentence(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    fails("the hub gave no dictionary of that name .*check the name and the connection", "nobody/nothing-at-all", tiny("llama"))
