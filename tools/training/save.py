"""A trained dictionary as files: autoencoders and transcoders in SAELens' format, cross-layer transcoders in circuit-tracer's."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from dragoman.tools.dictionaries import Recipe, make_coder, make_cross_layer, save_cross_layer, save_saelens
from dragoman.tools.subject import Subject

from .fold import Layer, fold
from .learner import Learner
from .stream import Reading, Scale


def save(folder: Path, learner: Learner, scales: dict[str, Scale], subject: Subject, reading: Reading) -> None:
    """Write a dictionary in raw units.

    Raises:
        UserError: training diverged, so that weights are NaN or infinite.
    """
    layers, shape = fold(learner, scales), learner.shape
    context, name = reading.window + reading.prepend_bos, str(folder)
    if shape.layers == 1:
        (layer,) = layers
        topk = learner.settings.sparsifier == "topk"
        recipe = Recipe("topk" if topk else "jumprelu", learner.settings.k if topk else 0, subtract_b_dec=shape.tied)
        coder = make_coder(
            name,
            shape.inputs[0],
            shape.outputs[0],
            recipe,
            _weights(layer),
            context_size=context,
            prepend_bos=reading.prepend_bos,
        )
        save_saelens(coder, folder, model_name=subject.name)
        return
    transcoder = make_cross_layer(
        name,
        [layer.w_enc.T for layer in layers],
        [layer.b_enc for layer in layers],
        [layer.w_dec for layer in layers],
        [layer.b_dec for layer in layers],
        threshold=[layer.threshold for layer in layers if layer.threshold is not None],
        kind_in="mlp_in",
        kind_out="mlp_out",
        context_size=context,
        prepend_bos=reading.prepend_bos,
    )
    save_cross_layer(transcoder, folder, model_name=subject.name)


def _weights(layer: Layer) -> dict[str, Tensor]:
    weights = {"W_enc": layer.w_enc, "b_enc": layer.b_enc, "W_dec": layer.w_dec[:, 0], "b_dec": layer.b_dec}
    if layer.threshold is not None:
        weights["threshold"] = layer.threshold
    if layer.w_skip is not None:
        weights["W_skip"] = layer.w_skip
    return weights
