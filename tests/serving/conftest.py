"""A server in this process, around a finished run."""

import asyncio
import io
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image

from striate.serving.app import OPEN_PATHS, Server
from striate.serving.hosted import Hosts, Settings
from striate.serving.metrics import Metrics
from striate.serving.service import Service
from striate.web.guard import Guard
from striate.web.policy import Limits, policy_for

CPU = Settings(device="cpu", engine="torch")


class Wrapped:
    """A run whose network may be made to fail."""

    def __init__(self, run, predicted):
        self._run, self._predicted = run, predicted

    def __getattr__(self, name):
        return getattr(self._run, name)

    def predicted(self, items, readings, *, together=False):
        return self._predicted(self._run, items, readings, together)


class Local:
    """The application behind its guard, with a way to ask it."""

    def __init__(self, hosts, capacity=64, deadline=30.0, limits=None, explain=10.0):
        self.hosts, self.metrics = hosts, Metrics()
        self.service = Service(capacity, deadline, self.metrics, explain)
        limits = limits or Limits()
        server = Server(
            hosts=hosts, service=self.service, metrics=self.metrics, limits=limits, page_token="T"
        )
        policy = policy_for("127.0.0.1", None, trusts_programs=True, open_paths=OPEN_PATHS)
        self.guard = Guard(server.application(), policy, limits)

    def ask(self, method, path, **request):
        return self.together([(method, path, request)])[0]

    def together(self, requests):
        async def asking():
            transport = httpx.ASGITransport(self.guard, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                return await asyncio.gather(
                    *(client.request(method, path, **rest) for method, path, rest in requests)
                )

        return asyncio.run(asking())

    def post(self, *contents, path="/predict"):
        files = [("file", (f"{n}.png", content)) for n, content in enumerate(contents)]
        return self.ask("POST", path, files=files)


def as_png(pixels):
    found = io.BytesIO()
    Image.fromarray(pixels).save(found, "PNG")
    return found.getvalue()


@pytest.fixture(scope="module")
def hosts(probe_run):
    found = Hosts({"probe": probe_run.folder.path}, CPU)
    found.load()
    return found


@pytest.fixture(scope="module")
def server(hosts):
    found = Local(hosts)
    yield found
    found.service.close()


@pytest.fixture
def served_with(hosts, local_with):
    """A function: a server whose network is replaced by a function of the run and its items."""

    def make(predicted=None, worthwhile=None, together=True, **settings):
        hosted = hosts.named(None)
        if predicted is not None:
            hosted = replace(hosted, run=Wrapped(hosted.run, predicted))
        if worthwhile is not None:
            hosted = replace(hosted, worthwhile=worthwhile)
        hosted = replace(hosted, together=together)
        own = Hosts({"probe": hosted.run.folder.path}, CPU)
        own._hosted["probe"] = hosted
        return local_with(own, **settings)

    return make


@pytest.fixture
def local_with():
    """A function: a server of some runs."""
    yield from _locals()


@pytest.fixture(scope="module")
def make_local():
    """A function: a server of some runs that lives as long as the tests of a file."""
    yield from _locals()


def _locals():
    made = []

    def make(hosts, **settings):
        made.append(Local(hosts, **settings))
        return made[-1]

    yield make
    for local in made:
        local.service.close()


@pytest.fixture(scope="session")
def pictures(draw):
    """Files of twenty pictures."""
    return [as_png(draw(shape, seed)) for seed in range(10) for shape in ("disc", "stripes")]


@pytest.fixture(scope="session")
def png():
    """A function: pixels as a file."""
    return as_png


@pytest.fixture(scope="session")
def noise():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
