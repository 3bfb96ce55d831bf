"""What `striate serve` refuses before it listens."""

import pytest


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A folder that passes for a run, since nothing is loaded before the address is decided."""
    from striate.run.folder import RUN, RunFolder

    monkeypatch.setattr(RunFolder, "record", lambda self: None)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RUN).write_text("{}")
    return tmp_path / "run"


def test_an_address_of_the_network_needs_a_token(refused, run_folder, monkeypatch):
    monkeypatch.delenv("STRIATE_TOKEN", raising=False)
    line = refused("serve", run_folder, "--host", "0.0.0.0")
    assert "--host" in line and "--token" in line and "STRIATE_TOKEN" in line


def test_no_run_and_two_of_one_name(refused, run_folder, tmp_path):
    assert "no finished run" in refused("serve", tmp_path / "none")
    (tmp_path / "other" / "run").mkdir(parents=True)
    assert "two runs are named 'run'" in refused("serve", run_folder, tmp_path / "other" / "run")


def test_a_missing_extra_is_named(refused, run_folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'pip install "striate[serve]"' in refused("serve", run_folder, code=3)
