"""The import rules of docs/architecture.md, read from the syntax trees, so that lazy imports count as well."""

import ast
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bot", "generation", "ranking", "storage")

OWNERS = {
    "telegram": ("bot.telegram_chat",),
    "sqlalchemy": ("storage", "bot.assemble"),
    "alembic": ("storage",),
    "torch": ("generation", "ranking", "bot.assemble"),
    "transformers": ("generation", "ranking", "bot.assemble"),
    "sentence_transformers": ("ranking",),
    "openai": ("generation",),
    "prometheus_client": ("bot.metrics", "bot.health_pages"),
    "typer": ("bot.cli",),
}
"""By library, the only packages and modules of ours that import it."""

SHARED = (
    "storage.dialog",
    "storage.corpora",
    "storage.estimates",
    "storage.files",
    "ranking.serving",
    "ranking.training",
)
"""What ranking and generation know of ours besides themselves."""

COMPOSERS = (
    "bot.assemble", "bot.ablation", "bot.doctor", "bot.gate", "bot.gate_features", "bot.gate_generator", "bot.running",
    "bot.from_log", "bot.pool_growth", "bot.simulation", "bot.taking_up", "bot.variants", "bot.verdict", "bot.versions",
    "bot.cli",
)  # fmt: skip
"""What in bot/ may name concrete parts; everything else knows the values and the seams."""

SEEN_BY_FRONT_ENDS = {
    f"storage.store.{error}" for error in ("AlreadyAnswered", "NotAddressed", "StoreError", "UnknownTurn")
}
"""Errors of the store that a front end has an answer to."""


@cache
def modules() -> dict[str, Path]:
    """Our modules by name."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@cache
def imported(module: str) -> frozenset[str]:
    """Everything that a module imports, anywhere in it, as full names: "storage.store.SqlDialogStore"."""
    return frozenset(name for node in ast.walk(ast.parse(modules()[module].read_text())) for name in names(node))


def names(node: ast.AST) -> list[str]:
    """What a node imports."""
    match node:
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases]
        case ast.ImportFrom(module=str(source), names=aliases, level=0):
            return [f"{source}.{alias.name}" for alias in aliases]
        case ast.ImportFrom():
            pytest.fail(f"a relative import: {ast.unparse(node)}")
    return []


def within(name: str, *places: str) -> bool:
    """Whether a name is one of these or inside one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def ours(module: str) -> set[str]:
    """Our modules that a module imports."""
    found = set()
    for name in imported(module):
        while within(name, *PACKAGES) and name not in modules():
            name = name.rpartition(".")[0]
        if within(name, *PACKAGES):
            found.add(name)
    return found


def test_the_values_need_the_standard_library_only() -> None:
    assert {name.partition(".")[0] for name in imported("storage.dialog")} <= sys.stdlib_module_names


@pytest.mark.parametrize("package", ["ranking", "generation"])
def test_models_know_the_values_and_the_corpora_but_not_each_other(package: str) -> None:
    for module in modules():
        if within(module, package):
            foreign = {name for name in ours(module) if not within(name, package, *SHARED)}
            assert not foreign, module


def test_storage_knows_nothing_of_the_others() -> None:
    for module in modules():
        if within(module, "storage"):
            assert all(within(name, "storage") for name in ours(module)), module


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_stays_where_it_belongs(library: str) -> None:
    users = {module for module in modules() if any(within(name, library) for name in imported(module))}
    assert users
    assert not {module for module in users if not within(module, *OWNERS[library])}


def test_concrete_parts_are_named_where_they_are_put_together() -> None:
    for module in modules():
        if within(module, "bot") and not within(module, *COMPOSERS):
            parts = {name for name in imported(module) if within(name, "ranking", "generation", "storage")}
            assert not {name for name in parts - SEEN_BY_FRONT_ENDS if not within(name, "storage.dialog")}, module


def test_no_module_imports_itself_by_detours() -> None:
    TopologicalSorter({module: ours(module) - {module} for module in modules()}).prepare()


def test_verbs_import_what_they_need_when_they_run() -> None:
    for module in modules():
        if within(module, "bot.cli"):
            tree = ast.parse(modules()[module].read_text())
            early = {name for node in tree.body for name in names(node)}
            strange = {name for name in early if name.partition(".")[0] not in sys.stdlib_module_names}
            assert not {name for name in strange if not within(name, "typer", "bot.cli", "storage.dialog")}, module


@pytest.mark.parametrize("arguments", [["--help"], ["pool", "--help"], ["train", "generator", "--help"]])
def test_help_is_there_without_the_big_libraries(arguments: list[str]) -> None:
    script = f"import sys; from bot.cli import main; print(main({arguments}), *sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    code, *loaded = run.stdout.splitlines()[-1].split()
    assert code == "0"
    assert not {"torch", "telegram", "sqlalchemy", "transformers", "numpy", "openai", "prometheus_client"} & set(loaded)
