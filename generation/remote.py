"""The generator's seam over an OpenAI-compatible server: vLLM, llama.cpp, TGI, a vendor."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import OpenAI, OpenAIError

from generation.examples import Examples
from generation.prompt import as_chat
from generation.sampling import GeneratorError, Sample, Sampling, distinct, tidy
from storage.dialog import Candidate, Context

log = logging.getLogger(__name__)

MESSAGES = 40
"""How far back a dialog is sent. The server knows its own limit in tokens; forty short messages are under 2,000."""

LONGEST = 2000
"""Characters of a reply. What a server sends beyond is cut off, as by its own limit: a reply is no flood."""

AT_ONCE = 16
"""Requests under way together: such servers batch for themselves."""


class RemoteGenerator:
    """Asks a server for replies. When it is down or slow it proposes nothing, and the other sources answer."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str = "",
        sampling: Sampling | None = None,
        timeout: float = 20,
        retries: int = 1,
        examples: int = 0,
    ) -> None:
        """`url`: base URL, such as http://127.0.0.1:8000/v1; `timeout` in seconds, for each of 1 + `retries` tries;
        `examples`: dialogs of Kith's voice that are shown to the model."""
        self.model, self.sampling = model, sampling or Sampling()
        self.client = OpenAI(base_url=url, api_key=key if key else "none", timeout=timeout, max_retries=retries)
        self.threads = ThreadPoolExecutor(AT_ONCE, "remote-generator")
        self.version = model
        self.examples = Examples(examples)

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context the distinct replies of the server, with their mean log-probability where it gives one (else
        0); none for a context whose request failed."""
        return [distinct(samples, self.version) for samples in self.threads.map(self._try, contexts)]

    def sample(self, contexts: Sequence[Context]) -> list[list[Sample]]:
        """For each context all replies of the server, as they came. Raises GeneratorError when a request failed."""
        return list(self.threads.map(self._ask, contexts))

    def _try(self, context: Context) -> list[Sample]:
        try:
            return self._ask(context)
        except GeneratorError as error:
            log.warning("the remote generator did not answer: %s", type(error.__cause__).__name__)
            return []

    def _ask(self, context: Context) -> list[Sample]:
        try:
            choices = self._request(context).choices[: self.sampling.candidates]  # a server may send more
            return [self._read(choice) for choice in choices]
        except (OpenAIError, ValueError, TypeError, AttributeError) as error:  # the client does not check what it reads
            raise GeneratorError(f"The server does not answer as an OpenAI-compatible one does ({error}).") from error

    def _request(self, context: Context) -> Any:
        recent = list(context.messages[-MESSAGES:])
        while len(recent) > 1 and recent[0].role != "user":  # many templates insist that the user begins
            del recent[0]
        return self.client.chat.completions.create(
            model=self.model,
            messages=as_chat(recent, self.examples.told(context.persona)),  # type: ignore[arg-type]  # plain dicts
            n=self.sampling.candidates,
            max_tokens=self.sampling.max_new_tokens,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            logprobs=True,
        )

    @staticmethod
    def _read(choice: Any) -> Sample:
        text = choice.message.content or ""
        finished = choice.finish_reason != "length" and len(text) <= LONGEST
        return Sample(tidy(text[:LONGEST], finished), mean_log_probability(choice), finished)


def mean_log_probability(choice: Any) -> float:
    """Over the tokens of a choice, when the server sent them; else 0."""
    tokens = choice.logprobs.content if choice.logprobs else None
    return sum(token.logprob for token in tokens) / len(tokens) if tokens else 0.0
