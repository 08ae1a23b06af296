"""`dragoman judge`: models that read labels and predict from them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .judge_check import check
from .options import Json

app = typer.Typer(no_args_is_help=True, help="Judges: models that read a label and predict from it.")
app.command("check")(check)

Environment = Annotated[
    Path | None,
    typer.Option(
        "--environment",
        metavar="FOLDER",
        help="Virtual environment of vLLM. [default: .venv-vllm beside this program's own]",
        show_default=False,
    ),
]


@app.command()
def install(
    environment: Environment = None,
    gpu: Annotated[
        bool | None,
        typer.Option("--gpu/--cpu", help="Which build of vLLM. [default: by what this machine has]", show_default=False),
    ] = None,
) -> None:
    """Install vLLM in a virtual environment of its own (on a CPU 3.4 GB and about two minutes).

    [bold]Examples[/bold]

        dragoman judge install

        dragoman judge install --environment /data/vllm --cpu
    """
    from dragoman.evals.judge.environment import default_folder
    from dragoman.evals.judge.environment import install as run

    from .errors import say
    from .output import console

    folder = environment or default_folder()
    run(folder, gpu, say)
    where = f" --environment {folder}" if environment else ""
    console().print(f"vLLM is installed. Next: dragoman judge serve MODEL{where}", markup=False, soft_wrap=True)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Folder of a Hugging Face model, or one in the local Hugging Face cache.", show_default=False
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What scores call it. [default: the last part of MODEL]", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 8000,
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Longest prompt with its reply, in tokens. [default: the model's; on a CPU up to 4096]", show_default=False
        ),
    ] = None,
    cache_gb: Annotated[int, typer.Option(help="Memory for the prefix cache on a CPU, in GiB.", min=1)] = 2,
    environment: Environment = None,
    log: Annotated[
        Path | None, typer.Option(help="File for what vLLM says. [default: a temporary one]", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Serve a judge with vLLM on this machine until Ctrl-C, on the GPU or the CPU by which build is installed.

    Answers on the loopback address only, fetches nothing and reports nothing. Further arguments go to `vllm serve`.

    [bold]Examples[/bold]

        dragoman judge serve ./my-judge

        dragoman judge serve Qwen/Qwen3-8B --port 8001 --max-length 8192 --tensor-parallel-size 2
    """
    from dragoman.evals.judge.environment import find
    from dragoman.evals.judge.serve import Server, ServeSettings, until_stopped

    from .errors import say
    from .output import as_json, console

    found = find(environment)
    settings = ServeSettings(model, name, port, max_length, cache_gb, extra=tuple(ctx.args))
    with until_stopped(), Server(settings, found, log) as server:
        say(f"Starting vLLM on the {'CPU' if found.cpu else 'GPU'}; it takes half a minute or more. Its log is {server.log}.")
        seconds = server.wait(say=say)
        if json:
            facts = {"seconds": seconds, "pid": server.process.pid, "log": str(server.log)}
            as_json({"judge": server.judge, "model": settings.served_name, **facts})
        else:
            lines = f"{settings.served_name} answers at {server.address} after {seconds:.0f} s. Ctrl-C stops it."
            console().print(f"{lines}\nNext: dragoman score STORE --judge {server.judge}", markup=False, soft_wrap=True)
        sys.stdout.flush()  # whoever reads it through a pipe waits for it
        server.watch()
