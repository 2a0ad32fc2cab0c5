"""A server of chat completions that answers by a script: whole answers, and all the ways in which a server fails."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One response. cut: the connection ends after half of the body. delay_seconds: before anything is sent."""

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    cut: bool = False


@dataclass
class Server:
    """Where it listens, and what it was asked: the bodies, and the keys that came with them."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def chat(text: str | None, *, finish: str | None = "stop", tokens: Sequence[Any] | None = None, **more: Any) -> Reply:
    """A whole answer. tokens: what its logprobs hold; more: laid over the body."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    if tokens is not None:
        choice["logprobs"] = {"content": list(tokens)}
    usage = {"prompt_tokens": 7, "completion_tokens": len((text or "").split()), "total_tokens": 0}
    return Reply({"object": "chat.completion", "choices": [choice], "usage": usage, **more})


def scored(
    token: str | bytes, logprob: float, others: Mapping[str, float], *, shown: str | None = None
) -> dict[str, Any]:
    """A token with its log-probability and the likeliest ones at its place. shown: as a string alone, without bytes."""
    raw = token.encode() if isinstance(token, str) else token
    own = (
        {"token": shown, "bytes": None}
        if shown is not None
        else {"token": str(raw, "utf-8", "replace"), "bytes": [*raw]}
    )
    likeliest = [{"token": word, "logprob": likely, "bytes": [*word.encode()]} for word, likely in others.items()]
    return {**own, "logprob": logprob, "top_logprobs": likeliest}


@contextmanager
def serve(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[Server]:
    """Answer each request by what `reply` makes of its body, from a free port of this machine, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                server.requests.append(asked)
                server.keys.append(self.headers.get("Authorization", ""))
                answer = reply(asked) if self.path == "/v1/chat/completions" else Reply("no such path", 404)
            time.sleep(answer.delay_seconds)
            body = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if answer.cut else body)
            self.close_connection = answer.cut

        def log_message(self, *words: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client did not wait
                super().handle()

    lock = threading.Lock()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
