"""`dragoman train`: sparse dictionaries from a model's activations."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .options import Fresh, Json, Quiet, Seed


def train(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the dictionary to.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="Hugging Face causal language model: a folder or a hub id.", show_default=False)
    ] = "",
    text: Annotated[
        str,
        typer.Option(
            help="Text: .txt, .json, .jsonl, .parquet, a folder of them, or a Hugging Face dataset.", show_default=False
        ),
    ] = "",
    hook: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the dictionary reads: resid_post.2, mlp_out.0 …; for a transcoder mlp_in.2. May be repeated: a "
            "dictionary for each, in folders of OUT. Not for cross-layer.",
            show_default=False,
        ),
    ] = None,
    architecture: Annotated[
        str, typer.Option(help="topk, batchtopk, jumprelu, transcoder, skip-transcoder or cross-layer.")
    ] = "topk",
    features: Annotated[int, typer.Option(help="Features; of a cross-layer transcoder, in each layer.", min=1)] = 4096,
    k: Annotated[int, typer.Option(help="Features active at a token; of a cross-layer transcoder, in each layer.", min=1)] = 32,
    tokens: Annotated[str, typer.Option(help="Tokens to train on, such as 20M; a shorter text is read again.")] = "20M",
    activation: Annotated[
        str | None, typer.Option(help="Of a transcoder: batchtopk or jumprelu. [default: batchtopk]", show_default=False)
    ] = None,
    penalty: Annotated[str, typer.Option(help="Of jumprelu: l0 or tanh.")] = "l0",
    sparsity: Annotated[
        float | None,
        typer.Option(
            help="Of jumprelu: price of one more active feature, as a share of the variance, such as 0.001. "
            "[default: whatever leads to --k]",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Tokens in a step.", min=1)] = 4096,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate. [default: by the width]", show_default=False)] = None,
    window: Annotated[
        int | None, typer.Option(help="Tokens in a window. [default: 128 with BOS]", show_default=False, min=1)
    ] = None,
    block: Annotated[
        str, typer.Option(help="Tokens whose activations are held and shuffled together; the memory used follows from it.")
    ] = "256K",
    separator: Annotated[
        str | None, typer.Option(help="What separates documents in a text file. [default: a blank line]", show_default=False)
    ] = None,
    text_field: Annotated[str, typer.Option(help="Field of a JSON, JSONL, Parquet or dataset row that holds the text.")] = "text",
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu. [default: the best there is]", show_default=False)] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Of the model: float32, bfloat16 or float16. [default: chosen]", show_default=False)
    ] = None,
    seed: Seed = 0,
    fresh: Fresh = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train sparse dictionaries of a model's activations.

    An autoencoder (topk, batchtopk, jumprelu) explains the activations at a hook point; a transcoder explains an MLP's output by
    its input, a skip transcoder with a linear map beside the features, a cross-layer transcoder the outputs of all MLPs at once.

    The same command goes on where a killed one stopped, and ends with the same weights. OUT then holds the dictionary, in
    SAELens' format (a cross-layer transcoder in circuit-tracer's), training.jsonl with the course of the training, and
    training.html with its curves. batchtopk is saved as jumprelu with the threshold found in training.

    [bold]Examples[/bold]

        dragoman train my-sae --model gpt2 --text corpus.jsonl --hook resid_post.6 --features 16384 --k 32 --tokens 50M

        dragoman train coders --model ./babyllama --text stories.json --hook mlp_in.0 --hook mlp_in.1 --architecture transcoder

        dragoman train clt --model ./babyllama --text stories.json --architecture cross-layer --features 1024 --k 16
    """
    from dragoman.evals.report.training import write_training_page
    from dragoman.store.errors import UserError
    from dragoman.tools.train import train as run
    from dragoman.tools.training.progress import TrainingBar
    from dragoman.tools.training.settings import Settings

    for flag, value in (("--model", model), ("--text", text)):
        if not value:
            raise UserError(f"Training needs {flag}: see `dragoman train --help` for examples.")
    settings = Settings(
        architecture,
        features=features,
        k=k,
        tokens=_number("--tokens", tokens),
        batch=batch,
        rate=rate,
        activation=activation,
        penalty=penalty,
        sparsity=sparsity,
        seed=seed,
    )
    with TrainingBar(settings, not quiet) as bar:
        trained = run(
            out,
            model,
            text,
            hook or [],
            settings,
            window=window,
            block_tokens=max(_number("--block", block), batch),
            separator=separator,
            text_field=text_field,
            device=device,
            dtype=dtype,
            fresh=fresh,
            progress=bar.show,
        )
    pages = [write_training_page(t.folder, t.hooks, settings) for t in trained]
    from .output import as_json, console

    if json:
        as_json(
            {
                "dictionaries": [
                    {"folder": str(t.folder), "hooks": t.hooks, "report": str(page), **asdict(t.last)}
                    for t, page in zip(trained, pages, strict=True)
                ]
            }
        )
        return
    for t, page in zip(trained, pages, strict=True):
        console().print(
            f"{t.folder}: {1 - t.last.unexplained:.2%} of the variance explained with {t.last.active:.1f} features a token, "
            f"{t.last.dead:.1%} dead. Curves: {page}",
            soft_wrap=True,
        )
    if architecture != "cross-layer":
        console().print(f"Next: dragoman harvest S --model {model} --dictionary {trained[0].folder} --text …", soft_wrap=True)


def _number(flag: str, text: str) -> int:
    """A whole number, with K, M or G behind it."""
    from dragoman.store.errors import UserError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text.replace(",", "").replace("_", "").upper())
    number = round(float(found[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[found[2]]) if found else 0
    if number < 1:
        raise UserError(f"{flag} must be a number of tokens such as 500000, 500K or 20M, not {text!r}.")
    return number
