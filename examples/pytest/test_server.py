# SPDX-License-Identifier: MIT
import http.server
import pathlib
import threading
import time
import urllib.request

import pytest


@pytest.fixture
def serve():
    """A server on port 8080 that answers with its name."""
    servers = []

    def start(name):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(name.encode())

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler))
        threading.Thread(target=servers[0].serve_forever, daemon=True).start()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask():
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return direct.open("http://localhost:8080/").read().decode()


def meet(tmp_path_factory, name, other):
    """Both tests are up at the same time: to show it, and no part of what you would copy."""
    common = tmp_path_factory.getbasetemp().parent
    (common / name).touch()
    deadline = time.monotonic() + 10
    while not (common / other).exists():
        assert time.monotonic() < deadline, f"{other} never came up"
        time.sleep(0.05)


@pytest.mark.parametrize("name, other", [("one", "two"), ("two", "one")])
def test_answers(serve, tmp_path_factory, name, other):
    serve(name)
    meet(tmp_path_factory, name, other)
    assert ask() == name
