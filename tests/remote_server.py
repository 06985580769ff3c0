"""An OpenAI-compatible server of our own on loopback, which answers as a test wants it."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 20.0


@dataclass
class Server:
    """What it is asked, and what it says to the n-th request."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    answer: Callable[[int, dict[str, Any]], tuple[int, str]] = lambda number, body: (200, completion("Hello."))
    closing: threading.Event = field(default_factory=threading.Event)
    gate: threading.Barrier | None = None
    """Where that many requests wait for each other."""

    def slowly(self, number: int, body: dict[str, Any]) -> tuple[int, str]:
        """No answer as long as the test lasts."""
        self.closing.wait(PATIENCE)
        return 200, completion("Too late.")


def choice(text: str | None, finish: str = "stop", logprobs: Sequence[float] = ()) -> dict[str, Any]:
    tokens = [{"token": "x", "logprob": value, "bytes": None, "top_logprobs": list[Any]()} for value in logprobs]
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
        "logprobs": {"content": tokens, "refusal": None} if tokens else None,
    }


def completion(*texts: str | dict[str, Any]) -> str:
    choices = [choice(text) if isinstance(text, str) else text for text in texts]
    return json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices})


@contextmanager
def serving(server: Server) -> Iterator[None]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(server.asked)
                server.asked.append({"path": self.path, **body})
                server.keys.append(self.headers["Authorization"])
            if server.gate is not None:
                server.gate.wait(PATIENCE)
            status, text = server.answer(number, body)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Retry-After-Ms", "1")
                self.end_headers()
                self.wfile.write(text.encode())
            except ConnectionError:
                pass  # the one who asked has gone

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()
