"""`/healthz` and `/metrics` over HTTP, in threads of their own: they wait for neither the models nor the loop."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from bot.health import Health
from bot.settings import UserError

Page: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Server(ThreadingMixIn, WSGIServer):
    """A thread a request; none of them keeps the program from ending."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Binds, without asking DNS for this machine's name, which may take long or hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class Quiet(WSGIRequestHandler):
    """Logs no requests; who asks nothing for ten seconds is no longer waited for."""

    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def health_pages(listen: str, port: int, health: Health, registry: CollectorRegistry) -> Iterator[int]:
    """Serves the pages for as long as the body runs, and yields the port. Raises UserError when it cannot listen."""
    kind = type("Server", (Server,), {"address_family": AF_INET6 if ":" in listen else AF_INET})
    try:
        server = kind((listen, port), Quiet)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"The pages for health and metrics cannot listen on {listen}:{port} ({error}): change KITH_METRICS_LISTEN "
            "or KITH_METRICS_PORT."
        ) from None
    server.set_app(pages(health, registry))
    thread = Thread(target=server.serve_forever, name="health-pages", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pages(health: Health, registry: CollectorRegistry) -> Page:
    """The two pages as a WSGI application."""
    metrics: Page = make_wsgi_app(registry)

    def page(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/healthz":
                fine, found = health.report()
                start_response("200 OK" if fine else "503 Service Unavailable", [("Content-Type", "application/json")])
                return [json.dumps(found).encode() + b"\n"]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There are /healthz and /metrics.\n"]

    return page
