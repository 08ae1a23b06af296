"""Adam for one dictionary in training, and its state as named tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from .learner import Learner, Measured

_CLIP = 1.0


class Optimizer:
    """Takes a dictionary's steps."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._weights = list(learner.weights.values())
        self._adam = torch.optim.Adam(self._weights, lr=1.0, betas=(0.9, 0.999), fused=True)

    def step(self, x: list[Tensor], y: list[Tensor], number: int) -> Measured:
        """One step, the `number`-th from 0, on centred and scaled inputs and targets of each layer."""
        seen = self.learner.step(x, y)
        self.learner.project()
        torch.nn.utils.clip_grad_norm_(self._weights, _CLIP)
        self._adam.param_groups[0]["lr"] = self.learner.settings.rate_at(number)
        self._adam.step()
        self.learner.normalise()
        return seen

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, besides the batch and its number."""
        tensors = {f"weight.{name}": w.detach() for name, w in self.learner.weights.items()}
        tensors |= {f"memory.{name}": m for name, m in self.learner.memory.items()}
        for name, w in self.learner.weights.items():
            tensors |= {f"adam.{name}.{key}": value for key, value in self._adam.state[w].items()}
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        for name, w in self.learner.weights.items():
            w.data.copy_(state[f"weight.{name}"])
            keys = ("step", "exp_avg", "exp_avg_sq")
            self._adam.state[w] = {key: state[f"adam.{name}.{key}"].to(w.device, torch.float32).clone() for key in keys}
        for name, m in self.learner.memory.items():
            m.copy_(state[f"memory.{name}"])
