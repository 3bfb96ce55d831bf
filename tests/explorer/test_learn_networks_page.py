"""The tour and the exercises can be finished on networks of other families, and on runs of each kind."""

import numpy as np
import pytest
from tests.explorer.conftest import session_of
from tests.explorer.test_learn_page import solve, walk
from tests.explorer.test_page import (  # noqa: F401 - fixtures
    CHROMIUM,
    address,
    browser,
    opened,
    pytestmark,
)
from tests.fitting.test_kinds import blobs, waves, write_pair

import striate
from striate.explorer.session import Session
from striate.explorer.subjects.run_subject import RunSubject

NETWORKS = {
    "lenet": ("lenet5", (3, 32, 32)),
    "resnet": ("resnet18", (3, 40, 33)),
    "vit": ("vit_ti_16", (3, 32, 48)),
    "series": ("inception_time", (2, 70)),
    "volume": ("resnet18", (1, 17, 16, 18)),
}
MODEL = "conv8k3-relu-maxpool-conv8k3-relu-gap-fc2"
RUNS = ("probe run", "kernel run", "series run", "volume run")
FEWEST = {"vit": 2, "probe run": 5, "lenet": 5, "resnet": 5}
"""Exercises that can be made; of the others three at least."""


def fitted(name, tmp_path_factory, request):
    if name in ("probe run", "kernel run"):
        return request.getfixturevalue(name.replace(" ", "_"))
    items = waves(40)[0] if name == "series run" else blobs(24)
    answers = np.where(np.arange(len(items)) % 2, "fast or large", "slow or small")
    data = write_pair(tmp_path_factory.mktemp("data") / "items", items, answers)
    out = tmp_path_factory.mktemp("runs") / "run"
    return striate.fit(data, out=out, method="scratch", epochs=1, model=MODEL)


@pytest.fixture(scope="module", params=[*NETWORKS, *RUNS])
def session(request, tmp_path_factory, own_cache):
    if request.param in NETWORKS:
        made = session_of(*NETWORKS[request.param])
    else:
        made = Session(RunSubject(fitted(request.param, tmp_path_factory, request).folder.path))
    made.param = request.param
    return made


def test_they_can_be_finished_from_the_page_alone(opened, address, session):  # noqa: F811
    page = opened(address)
    walk(page, session)
    assert solve(page, session) >= FEWEST.get(session.param, 3)
