"""The remote generator against an OpenAI-compatible server of our own on loopback: one that answers, and worse ones."""

import threading
from collections.abc import Iterator

import pytest
from remote_server import PATIENCE, Server, choice, completion, serving

from generation.remote import MESSAGES, RemoteGenerator
from generation.sampling import GeneratorError, Sample, Sampling
from storage.dialog import Candidate, Context, Message


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with serving(server):
        yield server


def generator(server: Server, retries: int = 0, timeout: float = PATIENCE, candidates: int = 3) -> RemoteGenerator:
    return RemoteGenerator(server.url, "tiny-chat", "secret", Sampling(candidates, 50, 0.7, 0.8), timeout, retries)


def asked(text: str, persona: str = "") -> Context:
    return Context((Message("user", text),), persona)


def test_the_server_is_asked_for_candidates_with_the_persona_and_the_dialog(server: Server) -> None:
    said = (Message("user", "hi"), Message("assistant", "hello"), Message("user", "how are you"))
    generator(server).propose([Context(said, "You are a cat.")])
    (request,) = server.asked
    assert request["path"] == "/v1/chat/completions"
    assert request["messages"] == [
        {"role": "system", "content": "You are a cat."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "how are you"},
    ]
    assert {k: request[k] for k in ("model", "n", "max_tokens", "temperature", "top_p")} == {
        "model": "tiny-chat", "n": 3, "max_tokens": 50, "temperature": 0.7, "top_p": 0.8,
    }  # fmt: skip
    assert server.keys == ["Bearer secret"]


def test_distinct_replies_become_candidates_with_their_mean_log_probability(server: Server) -> None:
    server.answer = lambda number, body: (
        200, completion(choice("Hello.\n", logprobs=[-1.0, -3.0]), choice("Hello.", logprobs=[-9.0]), choice("Hi")),
    )  # fmt: skip
    assert generator(server).propose([asked("hi")]) == [
        [Candidate("Hello.", "generation", -2.0, "tiny-chat"), Candidate("Hi", "generation", 0.0, "tiny-chat")]
    ]


def test_cut_off_replies_lose_their_broken_sentence_and_empty_ones_are_none(server: Server) -> None:
    server.answer = lambda number, body: (
        200,
        completion(choice("I do. But then", "length"), choice("I would", "length"), choice(""), choice(None)),
    )
    assert [[c.text for c in found] for found in generator(server).propose([asked("hi")])] == [["I do."]]


def test_a_server_that_sends_too_much_or_half_letters_is_cut(server: Server) -> None:
    server.answer = lambda number, body: (200, completion("Yes. " * 100_000, "Good \ud83d.", *["More."] * 500))
    (found,) = generator(server).propose([asked("hi")])
    assert [c.text for c in found] == [("Yes. " * 400).strip(), "Good .", "More."]


def test_chats_are_asked_together_and_answered_in_their_order(server: Server) -> None:
    server.gate = threading.Barrier(5)
    server.answer = lambda number, body: (200, completion(f"To {body['messages'][-1]['content']}."))
    found = generator(server).propose([asked(f"chat {n}") for n in range(5)])
    assert [[c.text for c in candidates] for candidates in found] == [[f"To chat {n}."] for n in range(5)]


def test_a_long_dialog_is_sent_from_the_left_cut_and_begins_with_the_user(server: Server) -> None:
    said = tuple(Message("user" if i % 2 == 0 else "assistant", f"message {i}") for i in range(101))
    generator(server).propose([Context(said)])
    messages = server.asked[0]["messages"]
    assert MESSAGES - 1 <= len(messages) <= MESSAGES
    assert messages[0]["role"] == "user"
    assert messages[-1]["content"] == "message 100"


BROKEN = [
    (500, '{"error": {"message": "out of memory"}}'),
    (404, '{"error": {"message": "no such model"}}'),
    (429, "slow down"),
    (200, "this is not JSON"),
    (200, ""),
    (200, "{}"),
    (200, "[]"),
    (200, "null"),
    (200, '{"choices": null}'),
    (200, '{"choices": [{}]}'),
    (200, '{"choices": [{"message": null}]}'),
    (200, '{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}'),
]


@pytest.mark.parametrize(("status", "body"), BROKEN)
def test_a_chat_whose_request_goes_wrong_gets_nothing_and_the_others_get_theirs(
    server: Server, status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda number, request: (
        (status, body) if request["messages"][-1]["content"] == "bad" else (200, completion("Hello."))
    )
    found = generator(server).propose([asked("good"), asked("bad"), asked("good")])
    assert [[c.text for c in candidates] for candidates in found] == [["Hello."], [], ["Hello."]]
    assert "the remote generator did not answer" in caplog.text
    assert "secret" not in caplog.text


def test_samples_come_as_they_were_drawn_and_a_failure_is_told(server: Server) -> None:
    server.answer = lambda number, body: (
        (200, completion(choice("Hi.", logprobs=[-2.0]), choice("I would", "length"))) if number == 0 else (500, "{}")
    )
    remote = generator(server)
    assert remote.sample([asked("hi")]) == [[Sample("Hi.", -2.0, True), Sample("", 0.0, False)]]
    with pytest.raises(GeneratorError, match="OpenAI-compatible"):
        remote.sample([asked("hi")])


def test_examples_follow_the_persona(server: Server) -> None:
    remote = RemoteGenerator(server.url, "m", sampling=Sampling(1), examples=2)
    remote.propose([asked("hi", "You are a cat.")])
    system = server.asked[0]["messages"][0]["content"]
    assert system.startswith("You are a cat.\n\nThis is how you talk:\n\nPerson: ")
    assert system.count("\n\nPerson: ") == 2


def test_a_slow_server_is_given_up_on_after_the_timeout(server: Server) -> None:
    server.answer = server.slowly
    assert generator(server, timeout=0.2).propose([asked("hi"), asked("ho")]) == [[], []]


def test_a_server_that_is_down_costs_nothing_but_its_candidates() -> None:
    server = Server()
    with serving(server):
        pass
    assert generator(server).propose([asked("hi")]) == [[]]


def test_a_hiccup_is_tried_again(server: Server) -> None:
    server.answer = lambda number, body: (500, "{}") if number == 0 else (200, completion("Hello."))
    assert [c.text for c in generator(server, retries=1).propose([asked("hi")])[0]] == ["Hello."]
    assert len(server.asked) == 2


def test_no_context_is_no_request(server: Server) -> None:
    assert generator(server).propose([]) == []
    assert server.asked == []
