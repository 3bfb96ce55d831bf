"""The data of a run of the photos, its features computed."""

import pytest

from striate.explorer import save
from striate.explorer.data.session import DataSession


@pytest.fixture(scope="session")
def data(probe_run, kernel_run):
    session = DataSession(probe_run, kernel_run)
    assert session.job.wait(120) is not None, session.job.state()
    return session


@pytest.fixture(scope="session")
def rows(probe_run):
    """The rows of `predictions.csv` by item."""
    return {row["item"]: row for row in probe_run.folder.read_csv("predictions.csv")}


@pytest.fixture(scope="module")
def small_pages():
    """Of the network's page a few cells and maps are saved, for its network is large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save, "CELLS", 200)
        patch.setattr(save, "MAPS", 2)
        yield
