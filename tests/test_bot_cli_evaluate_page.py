"""The page of `kith evaluate all`: whole in itself, and true to its figures."""

import base64
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from figures import estimate, policy, rated, run, selected

from bot.cli import evaluate_plots as plots
from bot.cli import sentences
from bot.cli.drawing import DARK, QUIET
from bot.cli.evaluate_page import page, sections
from bot.cli.page import Section, as_html
from ranking.fit import Fit
from ranking.metrics import Bin
from ranking.policy import Weights
from ranking.selection import Retrieved
from storage.estimates import Row


@pytest.fixture(scope="module")
def html() -> str:
    """The page of a run in which somebody gave a model a name that looks like markup; its pictures take seconds."""
    return page(replace(run(), models={**run().models, "another": "<b>new</b>"}))


def decoded(source: str) -> str:
    return base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()


def of_policy(found: Fit) -> Section:
    return {section.heading: section for section in sections(replace(run(), policy=found))}["The policy"]


def test_the_page_needs_nothing_besides_itself(html: str) -> None:
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", html)
    assert "@import" not in html
    assert "url(" not in html
    assert "<script" not in html


def test_every_picture_is_svg_with_a_sentence(html: str) -> None:
    picture = (
        r'<figcaption>([^<]+)</figcaption><div class="scroll"><picture>'
        r'<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)"><img alt="([^"]+)" src="([^"]+)"'
    )
    pictures = re.findall(picture, html)
    assert len(pictures) == html.count("<figure>") == 11
    for caption, dark, alternative, source in pictures:
        assert caption == alternative
        assert re.fullmatch(r"[^.].*[^.]\.", caption)
        assert QUIET in decoded(source) and not [light for light in DARK if light in decoded(dark)]
        drawn = ElementTree.fromstring(decoded(source))
        assert drawn.tag.endswith("svg")
        assert [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_every_figure_is_in_a_table_with_its_interval(html: str) -> None:
    assert "<td>retriever</td><td>0.650<i>[0.550, 0.750]</i></td>" in html
    assert "<td>+0.250<i>[+0.150, +0.350]</i></td>" in html
    for head in ("R@1 less retriever", "AUC less reply length", "MAP"):
        assert f"<th>{head}</th>" in html
    assert "mean average precision" in html
    assert "<td>\N{MINUS SIGN}0.450<i>[\N{MINUS SIGN}0.550, \N{MINUS SIGN}0.350]</i></td>" in html
    assert "<th>starter less 5-gram</th>" in html


def test_how_it_was_measured_is_told(html: str) -> None:
    for fact in (
        "talk.jsonl",
        "ab" * 32,
        "ranking seed",
        "run-20260102-030405.json",
        "retriever v1",
        "2026-01-02 03:04",
    ):
        assert fact in html


def test_what_stands_in_names_is_no_markup(html: str) -> None:
    assert "<b>new" not in html
    assert "&lt;b&gt;new" in html


def test_the_summary_sets_ours_beside_baselines() -> None:
    told = {what: (ours.value, name, gap.value) for what, ours, _, name, gap in sentences.headlines(run())}
    assert told["ranker, what it expects: R@1 of 20, all sources"] == (0.75, "plain MiniLM, last message", 0.25)
    assert told["retriever: mean rank of the context itself"][:2] == (22.5, "plain MiniLM, context")
    assert told["ranker: AUC on votes, thumbs (new wordings)"][1] == "wording"
    assert told["generator starter: bits per character, all sources"] == (1.75, "5-gram", -0.25)


def test_a_test_that_leaks_is_not_called_fair() -> None:
    fair = selected("films", 20)
    assert "does not leak" in sentences.recall([fair])
    rows = [
        replace(row, figures={**row.figures, "R@5": estimate(0.5)}) if row.model == "reply alone" else row
        for row in fair.rows
    ]
    assert "so the test leaks" in sentences.recall([replace(fair, rows=rows)])
    untaught = sentences.recall([replace(fair, rows=[row for row in fair.rows if row.model != "reply alone"])])
    assert "too few train dialogs" in untaught
    assert "so the test" not in untaught


def test_retrieval_is_told_beside_chance_and_what_replika_published() -> None:
    ours = Row("retriever", {"MAP": estimate(0.6)}, {"MAP": estimate(0.2)})
    told = sentences.retrieval(Retrieved(7, 4, [Row("plain MiniLM", {"MAP": estimate(0.4)}), ours]))
    assert "is plain MiniLM 0.400; retriever 0.600, a difference of +0.200 [+0.100, +0.300]; chance" in told
    assert "chance has 0.521." in told  # (1 + 1/2 + 1/3 + 1/4) / 4
    assert "Replika published 0.17" in told


def test_only_differences_clear_of_zero_are_called_so() -> None:
    assert sentences.votes([rated(False, 0.05)]) == (
        "Nowhere is a difference to wording clear of zero. None is clearly below reply length."
    )
    assert "Clearly below reply length: ranker on thumbs." in sentences.votes([rated(False, -0.2)])
    assert "ranker is above wording on thumbs (new wordings)" in sentences.votes([rated(False, 0.05), rated(True, 0.2)])
    assert "ranker is below wording on thumbs;" in sentences.votes([rated(False, -0.2)])
    assert "on 1 of 2 sources" in sentences.bits(run().generator.bits)


def test_a_generator_that_was_asked_for_no_replies_has_no_picture_of_them() -> None:
    silent = replace(run(), generator=replace(run().generator, replies=None))
    assert {s.heading: len(s.pictures) for s in sections(silent)}["The generator"] == 1


def test_the_policy_is_told_with_how_it_was_fitted_and_what_was_set() -> None:
    found = of_policy(policy())
    [(_, told)] = found.pictures
    assert told == (
        "The policy 'fitted 2026-01-01' was fitted to 1,200 votes in 90 dialogs, 400 of them likes; fitted to half of "
        "the dialogs it tells likes in the other half with an AUC of 0.780 [0.760, 0.800], the ranker alone with "
        "0.770 [0.760, 0.800]. Its largest weights by standard deviation: ranker +0.80, echo \N{MINUS SIGN}0.50."
    )
    assert [row.model for row in found.tables["Weights"]] == ["ranker", "echo"]
    assert found.listings["Kept or set, not fitted"].lines == [
        ("retrieved", "weight 0.25"), ("unsafe", "never said from 1 on")
    ]  # fmt: skip


def test_a_policy_without_a_record_shows_its_weights_and_says_that_it_has_none() -> None:
    by_hand = Fit(Weights("mine", {"echo": -0.5, "ranker": 1.0}, {}), {})
    whole = as_html(of_policy(by_hand))
    assert (
        "The policy &#x27;mine&#x27; has no record of a fit to votes; its largest weights: ranker +1.00, echo" in whole
    )
    assert "<td>ranker</td><td>1.000<i></i></td><td>–<i></i></td>" in whole
    assert "<td>echo</td><td>weight -0.5</td>" in whole
    assert "its largest weights: none." in as_html(of_policy(Fit(Weights("none", {}, {}), {})))


def test_ours_have_their_colours_and_baselines_step_back() -> None:
    ours = {plots.colour(model) for model in ("retriever", "ranker", "ranker mine", "starter")}
    baselines = (
        "chance",
        "reply alone",
        "BM25, last message",
        "plain MiniLM, last message",
        "wording",
        "people",
    )
    assert len(ours) == 3
    assert not ours & {plots.colour(model) for model in baselines}


def test_the_interval_of_a_share_holds_it_and_stays_between_none_and_all() -> None:
    for liked in (0.0, 0.3, 1.0):
        low, high = plots.wilson(Bin(0.5, liked, 20))
        assert -1e-9 <= low <= liked + 1e-9
        assert liked - 1e-9 <= high <= 1 + 1e-9
    assert plots.wilson(Bin(0.5, 0.5, 100)) == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_what_is_not_a_number_is_left_out_of_pictures_and_a_dash_in_tables() -> None:
    nothing = estimate(float("nan"))
    part = rated(False, 0.1)
    gaps = {"AUC": nothing, "AUC less reply length": nothing}
    rows = [Row("ranker", {"AUC": nothing, "ECE": estimate(0.1)}, gaps), *part.rows[:2]]
    told = page(replace(run(), ranking=replace(run().ranking, votes=[replace(part, rows=rows)])))
    assert "<td>–<i></i></td>" in told
