"""`kith train`: retriever, ranker, generator or policy of your own, from public dialogs and from `kith export`, or with
--from-log straight from the bot's own log (bot/cli/from_log.py)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from bot.cli.folders import model
from bot.cli.from_log import FromLog, named, train_on_log
from bot.cli.output import Json, log_to_screen, show_json, show_table

app = typer.Typer(help="Train models.", no_args_is_help=True)

Data = Annotated[
    list[Path] | None,
    typer.Option(help="Dialogs: .jsonl(.gz) or .toml files, or folders of them; can be repeated.", show_default=False),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder to write; a run that was cut off goes on from there.", show_default=False)
]
Base = Annotated[str, typer.Option(help="Folder or hub id of the model to start from.", callback=model)]
Minutes = Annotated[float, typer.Option(min=0, help="Stop after so long; 0: when it is done.")]
Seed = Annotated[int, typer.Option(help="Of all that is random.")]


@app.command()
def retriever(
    context: typer.Context,
    out: Out = None,
    data: Annotated[list[Path] | None, typer.Option(help="Dialogs, as of the generator.")] = None,
    votes: Annotated[
        list[Path] | None, typer.Option(help="Rated replies; those of the pool tell what is alike.")
    ] = None,
    base: Base = "",
    epochs: Annotated[float, typer.Option(min=0, help="0: the likeness alone, from pool and votes.")] = 1.0,
    batch: Annotated[int, typer.Option(min=2, help="Runs of up to 16 messages a step.")] = 24,
    learning_rate: Annotated[float, typer.Option(min=0)] = 5e-5,
    minutes: Minutes = 0.0,
    seed: Seed = 0,
    from_log: FromLog = False,
    as_json: Json = False,
) -> None:
    """Train the retriever: which message comes next, and which are alike. Use it by KITH_RETRIEVER."""
    with training():
        if from_log:
            train_on_log(context, "retriever", as_json)
            return
        from ranking.train_retriever import RetrieverTraining, train_retriever

        run = RetrieverTraining(
            data=tuple(data or ()),
            votes=tuple(votes or ()),
            out=named(out, "--out"),
            base=base,
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            minutes=minutes,
            seed=seed,
        )
        report(train_retriever(run), as_json)


@app.command()
def ranker(
    context: typer.Context,
    votes: Annotated[list[Path] | None, typer.Option(help="Rated replies, likewise.", show_default=False)] = None,
    out: Out = None,
    data: Annotated[list[Path] | None, typer.Option(help="Dialogs, as of the generator.")] = None,
    base: Base = "",
    retriever: Annotated[str, typer.Option(help="Bi-encoder on whose vectors the ranker stands.", callback=model)] = "",
    epochs: Annotated[float, typer.Option(min=0, help="Over the votes.")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Rated replies a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0)] = 8e-5,
    head_rate: Annotated[float, typer.Option(min=0, help="Learning rate of what stands on the BERT.")] = 1e-3,
    minutes: Minutes = 0.0,
    seed: Seed = 0,
    from_log: FromLog = False,
    as_json: Json = False,
) -> None:
    """Train the ranker: which replies earn a 👍. Use it by KITH_RANKER."""
    with training():
        if from_log:
            train_on_log(context, "ranker", as_json)
            return
        from ranking.train import RankerTraining, train_ranker

        run = RankerTraining(
            dialogs=tuple(data or ()),
            votes=tuple(named(votes, "--votes")),
            out=named(out, "--out"),
            base=base,
            retriever=retriever,
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            head_rate=head_rate,
            minutes=minutes,
            seed=seed,
        )
        report(train_ranker(run), as_json)


@app.command()
def taste(
    context: typer.Context,
    votes: Annotated[
        list[Path] | None, typer.Option(help="Rated replies: .jsonl(.gz) files, or folders of them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (.safetensors).")] = None,
    retriever: Annotated[str, typer.Option(help="The bi-encoder whose vectors it reads.", callback=model)] = "",
    seed: Seed = 0,
    from_log: FromLog = False,
    as_json: Json = False,
) -> None:
    """Train the taste: which replies people like. Half a minute. Use it by KITH_TASTE."""
    from datetime import UTC, datetime

    with training():
        if from_log:
            train_on_log(context, "taste", as_json)
            return
        votes, out = named(votes, "--votes"), named(out, "--out")
        from ranking.encoders import load_encoder
        from ranking.taste import train_taste
        from storage.corpora import read_ratings

        rated = [rating for path in votes for rating in read_ratings(path)]
        made, facts = train_taste(load_encoder(retriever), rated, seed)
        version = f"{out.stem} {datetime.now(UTC):%Y-%m-%d}, {facts['votes']} votes"
        made.save(out, {"version": version, "data": ", ".join(path.name for path in votes)})
        report({**facts, "version": version}, as_json)


@app.command()
def safety(
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    retriever: Annotated[str, typer.Option(help="The bi-encoder whose vectors it reads.", callback=model)] = "",
    as_json: Json = False,
) -> None:
    """Fit the toxicity check of replies to a retriever. A bot with its own does so when it starts."""
    with training():
        from ranking.encoders import load_encoder
        from ranking.toxicity import fit_toxicity

        made = fit_toxicity(load_encoder(retriever))
        made.save(out)
        report({"retriever": made.encoder.version, "version": made.version}, as_json)


@app.command()
def danger(
    lines: Annotated[
        list[Path], typer.Option(help="Files of lines, each by another author, as those of tests/safety_lines.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    more: Annotated[list[Path] | None, typer.Option(help="Files of lines that are learnt from only.")] = None,
    dialogs: Annotated[list[Path] | None, typer.Option(help="Ordinary dialogs, to learn what is none.")] = None,
    base: Annotated[
        str, typer.Option(help="BERT that reads English messages; default: the shipped retriever's.", callback=model)
    ] = "",
    vectors: Annotated[
        Path | None, typer.Option(help="File of navec's with vectors of Russian words; default: the shipped ones.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit the classifier of danger in messages, and its thresholds. Three quarters of an hour on two cores."""
    with training():
        from bot.settings import UserError
        from ranking.danger_classifier import STARTER
        from ranking.danger_words import load_vocabulary
        from ranking.encoders import STARTER as RETRIEVER
        from ranking.fit_danger import fit_danger
        from ranking.fit_danger_words import vocabulary_of

        try:
            out.mkdir(parents=True, exist_ok=True)  # now and not after an hour
        except OSError as error:
            raise UserError(f"{out} is no folder to write to ({error.strerror}): name another one.") from error
        vocabulary = vocabulary_of(vectors) if vectors else load_vocabulary(STARTER)
        made = fit_danger(lines, more or [], dialogs or [], base or str(RETRIEVER), vocabulary)
        made.save(out)
        report({"version": made.classifier.version} | {name: str(told) for name, told in made.told.items()}, as_json)


@app.command()
def generator(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="pretrain: dialogs; sft, dpo, kto: `kith export` messages, preferences, votes. Repeatable.",
            show_default=False,
        ),
    ] = None,
    out: Out = None,
    method: Annotated[
        Literal["pretrain", "sft", "dpo", "kto"],
        typer.Option(help="pretrain: on text; sft, dpo, kto: an adapter on a model that speaks, merged into it."),
    ] = "pretrain",
    base: Annotated[
        str,
        typer.Option(help="Folder or hub id to start from; default of sft, dpo, kto: the starter.", callback=model),
    ] = "",
    votes: Annotated[list[Path] | None, typer.Option(help="Measure sft, dpo, kto on these votes too.")] = None,
    preferences: Annotated[list[Path] | None, typer.Option(help="Likewise on these preferences.")] = None,
    adapter: Annotated[Path | None, typer.Option(help="Folder for the adapter by itself; sft, dpo, kto.")] = None,
    rank: Annotated[int, typer.Option(min=1, help="Of the adapter (LoRA).")] = 16,
    alpha: Annotated[int, typer.Option(min=1, help="The adapter counts alpha / rank times.")] = 32,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of the adapter; 0: the method's own.")] = 0.0,
    beta: Annotated[float, typer.Option(min=0.001, help="How much dpo and kto keep to the base.")] = 0.1,
    encoder: Annotated[
        str, typer.Option(help="BERT that a new model begins with; minilm: the packaged one.", callback=model)
    ] = "",
    personas: Annotated[Path | None, typer.Option(help="Folder of persona files for dialogs without facts.")] = None,
    vocab_size: Annotated[int, typer.Option(min=300, help="Tokens of a new tokenizer.")] = 8192,
    width: Annotated[int, typer.Option(min=64, help="Of a new model; heads are 64 wide.")] = 384,
    layers: Annotated[int, typer.Option(min=1, help="Of a new model.")] = 6,
    length: Annotated[int, typer.Option(min=32, help="Tokens a row: how far back it can look.")] = 512,
    batch_rows: Annotated[int, typer.Option(min=1, help="Rows at once, in each process; kto needs two.")] = 4,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches a step.")] = 2,
    epochs: Annotated[float, typer.Option(min=0)] = 1.0,
    steps: Annotated[int, typer.Option(min=0, help="Instead of epochs; 0: by epochs.")] = 0,
    muon_lr: Annotated[float, typer.Option(min=0, help="Learning rate of the matrices.")] = 4e-3,
    adamw_lr: Annotated[float, typer.Option(min=0, help="Learning rate of all else.")] = 3e-3,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.01,
    loss_on: Annotated[Literal["both", "assistant"], typer.Option(help="Which side's words are learnt.")] = "both",
    lang: Annotated[str, typer.Option(help="Language of the dialogs; those of others are left out.")] = "en",
    minutes: Minutes = 0.0,
    seed: Seed = 0,
    from_log: FromLog = False,
    as_json: Json = False,
) -> None:
    """Train the generator: from scratch, from a BERT, onward from any causal model, or on votes. Use it by
    KITH_GENERATOR. On two GPUs: torchrun --nproc-per-node 2 --no-python kith train generator ..."""
    from bot.settings import UserError

    if base and encoder:
        raise UserError("Name either --base or --encoder: a model goes on from one of them.")
    if encoder and method != "pretrain":
        raise UserError("--encoder begins a new model: it goes with --method pretrain.")
    with training(together=method == "pretrain" and not from_log):
        if from_log:
            train_on_log(context, "generator", as_json)
            return
        if method != "pretrain":
            from bot.cli.tuning import readable, tuned

            found = tuned(
                method=method,
                data=tuple(named(data, "--data")),
                out=named(out, "--out"),
                base=base,
                votes=tuple(votes or ()),
                preferences=tuple(preferences or ()),
                adapter=adapter,
                rank=rank,
                alpha=alpha,
                epochs=epochs,
                steps=steps,
                learning_rate=learning_rate,
                beta=beta,
                length=length,
                batch_rows=batch_rows,
                accumulate=accumulate,
                minutes=minutes,
                seed=seed,
            )
            report(found if as_json else readable(found), as_json)
            return
        from generation.train import GeneratorTraining, train_generator
        from ranking.pretrained import packaged_minilm

        run = GeneratorTraining(
            data=tuple(named(data, "--data")),
            out=named(out, "--out"),
            base=base,
            encoder=str(packaged_minilm()) if encoder == "minilm" else encoder,
            personas=personas,
            vocab_size=vocab_size,
            width=width,
            layers=layers,
            length=length,
            batch_rows=batch_rows,
            accumulate=accumulate,
            epochs=epochs,
            steps=steps,
            muon_lr=muon_lr,
            adamw_lr=adamw_lr,
            weight_decay=weight_decay,
            loss_on=loss_on,
            lang=lang,
            minutes=minutes,
            seed=seed,
        )
        report(train_generator(run), as_json)


@app.command()
def policy(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    log: Annotated[list[Path] | None, typer.Option(help="Files of `kith export dialogs`; can be repeated.")] = None,
    votes: Annotated[list[Path] | None, typer.Option(help="Public rated replies, where there is no log.")] = None,
    before: Annotated[
        Path | None, typer.Option(help="Weights to start from; default: the ones in the settings.")
    ] = None,
    seed: Seed = 0,
    from_log: FromLog = False,
    as_json: Json = False,
) -> None:
    """Fit the weights of the policy to votes. Use them by KITH_POLICY."""
    if from_log:
        with training():
            train_on_log(context, "policy", as_json)
            return
    out = named(out, "--out")
    from bot.settings import UserError, load_settings
    from ranking.encoders import load_encoder
    from ranking.fit import OF_LOG, OF_REPLY, as_votes, fit_policy, save_fit
    from ranking.policy import load_weights
    from ranking.ranker import CrossEncoderRanker
    from storage.corpora import read_ratings, read_votes

    settings = load_settings()
    if bool(log) == bool(votes):
        raise UserError("Name either --log or --votes: features differ, so they cannot be fitted together.")
    start = load_weights(before if before else settings.policy)
    if log:
        fit = fit_policy([vote for path in log for vote in read_votes(path)], OF_LOG, start, seed)
    else:
        rated = [r for path in votes or () for r in read_ratings(path) if r.split == "valid"]
        fit = fit_policy(
            as_votes(rated, CrossEncoderRanker(settings.ranker, load_encoder(settings.retriever))),
            OF_REPLY,
            start,
            seed,
        )
    save_fit(out, fit)
    report({"version": fit.weights.version, **fit.weights.weights, **fit.facts}, as_json)


@contextmanager
def training(together: bool = False) -> Iterator[None]:
    """Progress on the screen; what a person can mend (a library that is not installed) as a UserError. `together`:
    several processes of torchrun's can train it."""
    from bot.settings import UserError

    if not together and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UserError("Only `kith train generator --method pretrain` runs in several processes: leave torchrun out.")
    os.environ["TRANSFORMERS_VERBOSITY"] = "warning"  # the Trainer shows its progress bar from this level on only
    log_to_screen("INFO" if is_first() else "WARNING")
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"Training needs {error.name}: pip install -e '.[train]' where Kith's source is.") from error


def is_first() -> bool:
    """Of the processes that torchrun started: the first, which speaks for all. Without torchrun there is one."""
    return os.environ.get("RANK", "0") == "0"


def report(facts: Mapping[str, object], as_json: bool) -> None:
    """What came of it; training.json in the folder says the same and more."""
    if not is_first():
        return
    if as_json:
        show_json(facts)
    else:
        show_table(("", ""), facts.items())
