"""The `kith` command. Verbs are in small files by subject; each imports what it needs when it runs, so that
`kith --help` is there at once.

It ends with 0; with 2 and one sentence for a mistake of the person at the keyboard; with 75 and one sentence when what
it needs cannot be reached now, so that it may be started again; a traceback means a fault of ours.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import typer

from bot.cli import backup, early, evaluate, experiments, log, models, off_policy, pool, report, simulate, talk, train
from bot.cli.heap import share_heap

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin turn a reply of 0.1 s into 6 s once another program wants a core
    "OPENBLAS_NUM_THREADS": "1",  # numpy's second thread spins too, on the generator's core: 302 ms, alone 261
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",  # of 1,024 kernels, one for each size of matrix, memory fills for hours
    "TOKENIZERS_PARALLELISM": "false",  # no warning about forks
    "TRANSFORMERS_VERBOSITY": "error",  # no reports about loading
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL's trainers would tell its makers what is trained, on what hardware
}
"""What must be there before torch and transformers are imported. What the user set stays."""

MISTAKES = {
    "bot.settings": "UserError",
    "generation.sampling": "GeneratorError",
    "ranking.policy": "PolicyError",
    "ranking.pool": "PoolError",
    "ranking.pretrained": "ModelError",
    "storage.corpora": "CorpusError",
    "storage.files": "ExportError",
    "storage.migrating": "StoreError",
}
"""By module, the errors whose message is one sentence for the person at the keyboard."""

EXTRAS = {
    **dict.fromkeys(("accelerate", "datasets", "peft", "trl"), "train"),
    **dict.fromkeys(("bm25s", "matplotlib"), "evaluate"),
}
"""What only extras bring, and which."""

app = typer.Typer(
    help="An AI friend for Telegram and the terminal that learns from every 👍.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes 0.1 s to import
    context_settings={"max_content_width": 110},
    pretty_exceptions_enable=False,
)
app.add_typer(talk.app)
app.add_typer(log.app)
app.add_typer(experiments.app)
app.add_typer(report.app)
app.add_typer(backup.app)
evaluate.app.add_typer(off_policy.app)
evaluate.app.add_typer(early.app)
app.add_typer(pool.app, name="pool")
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")
app.command()(simulate.simulate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command, by default the one that was typed, and returns the program's exit code."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    share_heap()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        app(arguments)
    except SystemExit as end:  # the way in which every command ends
        return end.code if isinstance(end.code, int) else 0
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        install = f"pip install -e '.[{EXTRAS[error.name]}]' where Kith's source is"
        typer.echo(f"kith: This needs {error.name}: {install}.", err=True)
        return 2
    except mistakes() as error:
        typer.echo(f"kith: {' '.join(str(error).split())}", err=True)  # libraries' own words may have several lines
        return int(getattr(error, "code", 2))
    return 0


def mistakes() -> tuple[type[Exception], ...]:
    """The classes that MISTAKES names. A module that was not imported has raised nothing, so none is imported here."""
    return tuple(getattr(sys.modules[module], name) for module, name in MISTAKES.items() if module in sys.modules)
