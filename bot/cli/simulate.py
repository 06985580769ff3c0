"""`kith simulate`: synthetic people with hidden tastes talk to the real bot and vote, in a log of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.output import Json, log_to_screen, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.settings import Settings
    from bot.simulation.learning import Plan, Round

ENOUGH = 2000
"""Votes that `--learn` learns from, as Replika said of its reranker."""

TRIES = 3
"""Weeks after which `--demo` has learnt at the latest: 200 people give some 700 votes in one, of which the gate has 200
to compare on."""


def simulate(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A folder for its log, models and results.")],
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Weeks until the gate lets in what was learnt, three at the most, and one more."),
    ] = False,
    learn: Annotated[bool, typer.Option("--learn", help="The same with 2,000 votes, for each seed.")] = False,
    load: Annotated[
        bool, typer.Option("--load", help="All people write at once, as fast as they are answered.")
    ] = False,
    people: Annotated[int, typer.Option(min=1, max=100_000)] = 200,
    days: Annotated[int, typer.Option(min=1, max=1000, help="Of the world, before anything is learnt.")] = 7,
    after: Annotated[int, typer.Option(min=0, max=1000, help="Afterwards; 0: as many, 3 with --learn.")] = 0,
    votes: Annotated[int, typer.Option(min=0, help="Votes that end the days before; 0: --learn 2,000, else none.")] = 0,
    trolls: Annotated[float, typer.Option(min=0, max=1, help="Share of trolls.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="A seed is a community with tastes of its own.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from --seed on.")] = 1,
    messages: Annotated[int, typer.Option(min=1, help="With --load: messages of each person.")] = 10,
    minutes: Annotated[float, typer.Option(min=0, help="No new seed is begun after these; 0: no limit.")] = 0,
    full: Annotated[
        bool,
        typer.Option("--full", help="With the models of the settings, not with light ones that are ten times faster."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Let synthetic people talk to the bot, vote and teach it. Seeds that the folder has are not run again."""
    from bot.assemble import set_up_libraries
    from bot.settings import UserError, load_settings
    from bot.simulation.learning import Plan, light

    if sum((demo, learn, load)) != 1:
        raise UserError("Name one of --demo, --learn and --load.")
    log_to_screen("WARNING")
    settings = load_settings().model_copy(update={"data_dir": out, "database_url": None, "database_key": None})
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}): name another folder.") from None
    set_up_libraries(settings)
    settings = settings if full else light(settings, out)
    if load:
        show_load(settings, people, messages, seed, as_json)
        return
    enough = float(votes or (ENOUGH if learn else "inf"))
    longest = 365 if learn else days
    plans = [
        Plan(number, people, trolls, longest, enough, after or (3 if learn else 0), TRIES if demo else 1, poison=learn)
        for number in range(seed, seed + seeds)
    ]
    rounds = run(settings, out, plans, minutes)
    if as_json:
        show_json(rounds)
    else:
        show_rounds(rounds)


def run(settings: "Settings", out: Path, plans: "Sequence[Plan]", minutes: float) -> "list[Round]":
    """A round for each plan: those that were run before are read from the folder."""
    import shutil
    import time

    from tqdm import tqdm

    from bot.simulation.learning import learn_once, talk
    from bot.simulation.results import read_round, read_talked, write_round, write_talked

    started, loaded = time.monotonic(), None
    rounds: list[Round] = []
    for plan in plans:
        name = f"simulated-{plan.seed}" + (f"-trolls-{plan.trolls:g}" if plan.trolls else "")
        done = read_round(out / f"{name}.json", plan)
        if done is None:
            if rounds and minutes and time.monotonic() - started > 60 * minutes:
                typer.echo(
                    f"{minutes:g} minutes are over: type the same again to go on with seed {plan.seed}.", err=True
                )
                break
            unfinished, kept, heard = out / f"{name}.unfinished", out / f"{name}.talked", "heard.json"
            for folder in (unfinished, out / name):  # what was cut off, and other plans' rounds
                shutil.rmtree(folder, ignore_errors=True)
            own = settings.model_copy(update={"data_dir": unfinished})
            with tqdm(desc=f"seed {plan.seed}", unit=" turns", disable=None) as bar:
                talked = read_talked(kept / heard, plan)
                if talked is None:
                    talked, loaded = talk(own, plan, loaded, bar.update)
                    write_talked(unfinished / heard, talked)
                    shutil.rmtree(kept, ignore_errors=True)
                    unfinished.replace(kept)
                shutil.copytree(kept, unfinished)  # learning that is cut off begins anew, talking does not
                done, loaded = learn_once(own, talked, loaded, bar.update)
            unfinished.replace(out / name)
            write_round(out / f"{name}.json", done)
            shutil.rmtree(kept)
        rounds.append(done)
    return rounds


def show_rounds(rounds: "Sequence[Round]") -> None:
    """A line a seed, and what they say together."""
    from bot.simulation.results import over_seeds

    rows = [
        (
            r.plan.seed,
            f"{r.plan.trolls:.0%}",
            r.turns[0],
            r.votes[0],
            r.before,
            r.foretold.approval,
            r.after,
            r.gain,
            "promoted" if r.passed else "refused",
            "" if r.poisoned is None else "let in" if r.poisoned else "stopped",
        )
        for r in rounds
    ]
    columns = (
        "#seed",
        "#trolls",
        "#turns",
        "#votes",
        "approval before",
        "foretold",
        "after",
        "gain",
        "gate",
        "poisoned",
    )
    show_table(columns, rows)
    for r in rounds:
        once, then = r.foretold.sure
        typer.echo(
            f"seed {r.plan.seed}: 👍 of the votes {r.liked_votes[0]:.1%}, then {r.liked_votes[1]:.1%}. The likeliest "
            f"candidate was said with a probability of {once:.2f}, then {then:.2f}. {r.figures}"
        )
        if r.foretold.doubt:
            typer.echo(f"seed {r.plan.seed}: what was foretold is doubtful. {r.foretold.doubt}")
    if len(rounds) > 1:
        for name, values in (("before", [r.before.value for r in rounds]), ("after", [r.after.value for r in rounds])):
            typer.echo(f"Approval {name}, over {len(rounds)} seeds: {over_seeds(values)}")
        errors = [r.after.value - r.foretold.approval.value for r in rounds]
        typer.echo(f"After, less what was foretold: {over_seeds(errors)}")
        typer.echo(f"Gain over {len(rounds)} seeds: {over_seeds([r.gain.value for r in rounds])}")


def show_load(settings: "Settings", people: int, messages: int, seed: int, as_json: bool) -> None:
    """Turns a second, and how long people wait."""
    import asyncio

    from bot.simulation.load import under_load

    found = asyncio.run(under_load(settings, people, messages, seed))
    if as_json:
        show_json(found)
        return
    columns = ("#people", "#turns", "#turns a second", "#p50, s", "#p95, s")
    row = found.people, found.turns, f"{found.turns_a_second:.1f}", f"{found.p50:.2f}", f"{found.p95:.2f}"
    show_table(columns, [row])
