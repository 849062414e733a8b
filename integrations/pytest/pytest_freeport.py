# SPDX-License-Identifier: MIT
"""freeport for pytest: a session for each worker of pytest-xdist, and the real port behind a sentinel.

With --freeport, or `freeport = true` in pytest's configuration, each worker is started under `freeport run --session
new`: tests and fixtures with a port written into them run at once. Without workers, run `freeport run pytest`.
"""
import shlex
import subprocess
import sys

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("freeport")
    group.addoption("--freeport", action="store_true", help="give each pytest-xdist worker ports of its own")
    group.addoption("--freeport-sentinels", metavar="PORTS", help="the ports to replace (all)")
    parser.addini("freeport", "give each pytest-xdist worker ports of its own", type="bool", default=False)
    parser.addini("freeport_sentinels", "the ports to replace, as freeport run --sentinels has them", default="")


def _command(config):
    command = ["freeport", "run", "--session", "new"]
    sentinels = config.getoption("freeport_sentinels") or config.getini("freeport_sentinels")
    if sentinels:
        command += ["--sentinels", sentinels]
    return command + ["--"]


class _Workers:
    """Registered where pytest-xdist is: pytest knows no such hook without it."""

    def pytest_xdist_setupnodes(self, config, specs):
        for spec in specs:
            if spec.popen:
                python = spec.python or shlex.quote(sys.executable)
                spec.python = f"{shlex.join(_command(config))} {python}"


def pytest_configure(config):
    wanted = config.getoption("freeport") or config.getini("freeport")
    if wanted and config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Workers(), "freeport-workers")


@pytest.fixture(scope="session")
def freeport_port():
    """A function that returns the real port behind a sentinel of this session, for clients outside of it."""

    def port(sentinel, wait=10):
        command = ["freeport", "port", "--wait", str(wait), str(sentinel)]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    return port
