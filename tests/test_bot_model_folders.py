"""Model folders are untrusted: nothing of one that a stranger made is run; what is wrong with it is one sentence."""

import ast
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from bot.cli import main
from bot.model_folders import PICKLES, UnfitFolder, check_model
from bot.settings import UserError, load_settings
from generation.generator import GptGenerator
from generation.prompt import render
from generation.sampling import GeneratorError
from ranking.encoders import load_encoder
from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker
from ranking.vectors import Encoder

pytest_plugins = ("tiny",)

ROOT = Path(__file__).parent.parent
EVIL = "from pathlib import Path\nPath({!r}).touch()\nclass Model: pass\n"


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.file,)


@pytest.fixture
def generator(generator_folder: str, tmp_path: Path) -> Path:
    """A copy of a tiny generator, to be spoilt."""
    return Path(shutil.copytree(generator_folder, tmp_path / "model"))


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file that is there if a model's code was run."""
    return tmp_path / "ran"


def change(file: Path, **values: Any) -> None:
    """Sets keys of a JSON file."""
    read = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**read, **values}))


def fails(folder: Path) -> str:
    """What is said about a generator that cannot be loaded."""
    with pytest.raises(GeneratorError, match="cannot be loaded") as error:
        GptGenerator(str(folder))
    return str(error.value)


# What the loaders do


def test_weights_that_are_pickled_are_never_read(
    generator: Path, cross_encoder_folder: str, bi_encoder_folder: str, bi_encoder: Encoder, tmp_path: Path, ran: Path
) -> None:
    ranker = Path(shutil.copytree(cross_encoder_folder, tmp_path / "ranker"))
    retriever = Path(shutil.copytree(bi_encoder_folder, tmp_path / "retriever"))
    for folder in (generator, ranker, retriever):
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(ran)))
    fails(generator)
    with pytest.raises(ModelError, match="cannot be loaded"):
        CrossEncoderRanker(str(ranker), bi_encoder)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(retriever))
    assert not ran.exists()
    pickle.loads((generator / "pytorch_model.bin").read_bytes())
    assert ran.exists()  # as it would have been


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_a_folder_is_never_run(generator: Path, ran: Path, file: str) -> None:
    (generator / "evil.py").write_text(EVIL.format(str(ran)))
    classes = ("AutoConfig", "AutoModelForCausalLM")
    auto_map: dict[str, Any] = (
        dict.fromkeys(classes, "evil.Model") if file == "config.json" else {"AutoTokenizer": [None, "evil.Model"]}
    )
    change(generator / file, auto_map=auto_map, model_type="evil", tokenizer_class="EvilTokenizer")
    fails(generator)
    assert not ran.exists()


def test_nor_is_that_of_a_module_of_a_bi_encoder(bi_encoder_folder: str, tmp_path: Path, ran: Path) -> None:
    folder = Path(shutil.copytree(bi_encoder_folder, tmp_path / "retriever"))
    (folder / "evil.py").write_text(EVIL.format(str(ran)))
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([{**modules[0], "type": "evil.Model"}, *modules[1:]]))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(folder))
    assert not ran.exists()


def test_every_loader_takes_safetensors_alone_and_trusts_no_code() -> None:
    for file in (file for package in ("generation", "ranking", "bot") for file in (ROOT / package).rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            match call:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="from_pretrained"), keywords=given):
                    said = {each.arg: ast.unparse(each.value) for each in given}
                    automatic = owner.startswith("Auto")
                    assert said.get("trust_remote_code") == "False" or not automatic, file
                    if owner not in ("AutoTokenizer", "AutoConfig"):
                        assert said.get("use_safetensors") == "True", file


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for i in range(10**9) %}a{% endfor %}",
    ],
)
def test_a_chat_template_can_reach_nothing(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    before, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        with pytest.raises((TemplateError, OverflowError)):
            render(tokenizer, [{"role": "user", "content": "hi"}], prompt=True)
    finally:
        tokenizer.chat_template = before


# Broken folders


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": 5}'),
        ("config.json", b'{"model_type": "llama", "hidden_size": "wide"}'),
        ("config.json", b'{"model_type": "llama", "num_attention_heads": 0}'),
        ("config.json", b"[" * 100_000),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff\xfe"),
        ("tokenizer_config.json", b'"text"'),
    ],
)
def test_a_broken_file_is_told_in_one_error(generator: Path, file: str, content: bytes) -> None:
    (generator / file).write_bytes(content)
    assert str(generator) in fails(generator)


def test_so_are_weights_that_were_cut_off(
    generator: Path, cross_encoder_folder: str, retriever_folder: str, bi_encoder: Encoder, tmp_path: Path
) -> None:
    ranker = Path(shutil.copytree(cross_encoder_folder, tmp_path / "ranker"))
    retriever = Path(shutil.copytree(retriever_folder, tmp_path / "retriever"))
    for file in (generator / "model.safetensors", ranker / "model.safetensors", retriever / "delta.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])
    fails(generator)
    with pytest.raises(ModelError, match="cannot be loaded"):
        CrossEncoderRanker(str(ranker), bi_encoder)
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(str(retriever))


# What the owner is told


@pytest.mark.parametrize("ending", PICKLES)
@pytest.mark.parametrize("folder", ["", "2_Dense"])
def test_a_folder_with_a_pickle_is_refused(generator: Path, ending: str, folder: str) -> None:
    check_model(str(generator))
    (generator / folder).mkdir(exist_ok=True)
    (generator / folder / f"pytorch_model{ending}").touch()
    with pytest.raises(UnfitFolder, match=rf"pytorch_model\{ending} can run code"):
        check_model(str(generator))


@pytest.mark.parametrize("part", ["../evil.safetensors", "/tmp/evil.safetensors", "evil.bin", "a/b.safetensors"])
def test_parts_of_a_model_lie_in_its_folder(generator: Path, part: str) -> None:
    change(generator / "model.safetensors.index.json", weight_map={"a": "model.safetensors", "b": part})
    with pytest.raises(UnfitFolder, match="in its own folder"):
        check_model(str(generator))


def test_an_adapter_would_lead_elsewhere(generator: Path) -> None:
    change(generator / "adapter_config.json", base_model_name_or_path="/etc")
    with pytest.raises(UnfitFolder, match="is an adapter"):
        check_model(str(generator))


def test_so_would_an_attention_from_the_hub(generator: Path) -> None:
    change(generator / "config.json", attn_implementation="somebody/attention")
    with pytest.raises(UnfitFolder, match="fetches code from somebody/attention"):
        check_model(str(generator))


def test_links_are_not_followed_into_other_folders(generator: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights.bin").touch()
    (generator / "away").symlink_to(tmp_path / "other")
    (generator / "circle").symlink_to(generator)
    check_model(str(generator))


@pytest.mark.parametrize("name", ["", "somebody/model", "/no/such/folder"])
def test_what_is_no_folder_is_not_looked_into(name: str) -> None:
    check_model(name)


@pytest.mark.parametrize("setting", ["KITH_GENERATOR", "KITH_RETRIEVER", "KITH_RANKER", "KITH_SAFETY_MODEL"])
def test_a_setting_that_names_such_a_folder_is_one_sentence(
    generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    (generator / "weights.pt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(setting, str(generator))
    with pytest.raises(UserError, match=rf"The setting {setting} is wrong: .*weights\.pt can run code") as error:
        load_settings()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "generator", "--data", "d", "--out", "o", "--base"],
        ["train", "generator", "--data", "d", "--out", "o", "--encoder"],
        ["train", "ranker", "--data", "d", "--votes", "v", "--out", "o", "--retriever"],
        ["train", "taste", "--votes", "v", "--out", "o", "--retriever"],
        ["train", "safety", "--out", "o", "--retriever"],
        ["evaluate", "generator", "--data", "d", "--model"],
        ["evaluate", "ranking", "--data", "d", "--votes", "v", "--retriever"],
    ],
)
def test_so_is_an_option(generator: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    (generator / "weights.pt").touch()
    assert main([*command, str(generator)]) == 2
    error = capsys.readouterr().err
    assert "weights.pt can run code" in error and error.count("\n") == 1
