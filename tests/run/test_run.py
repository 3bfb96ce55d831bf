"""What a finished run shows of itself, and the public names of the package."""

import importlib.metadata

import numpy as np
import pytest

import striate
from striate.errors import ArgumentError, RunError


def test_a_run_shows_its_folder_method_and_figures(probe_run):
    text = repr(probe_run)
    assert text.startswith(f"Run({str(probe_run.folder.path)!r}: probe, accuracy: ")
    assert "0x" not in text


def test_a_notebook_shows_the_summary_as_text_that_is_escaped(probe_run, monkeypatch):
    monkeypatch.setattr(type(probe_run), "summary", lambda run: "accuracy: 1\n<b>cats & dogs")
    html = probe_run._repr_html_()
    assert "<li>accuracy: 1</li><li>&lt;b&gt;cats &amp; dogs</li>" in html


def test_the_package_lists_its_public_names_alone():
    assert dir(striate) == sorted([*striate.__all__, "__version__"])
    assert striate.__version__ == importlib.metadata.version("striate")
    assert all(callable(getattr(striate, name)) for name in striate.__all__)
    with pytest.raises(AttributeError, match="no attribute 'importlib2'"):
        striate.importlib2  # noqa: B018


def test_a_table_that_is_missing_is_an_error_of_the_run(probe_run):
    with pytest.raises(RunError, match=r"cannot read .*nothing\.csv"):
        probe_run.folder.read_csv("nothing.csv")


def test_what_is_no_path_and_no_run_is_named_by_its_type(probe_run):
    arrays = (np.zeros((9, 9, 9)), np.zeros(9))
    for call in (probe_run.evaluate, probe_run.robustness):
        with pytest.raises(ArgumentError, match=r"of type tuple: .*Classifier.*\.npz") as caught:
            call(arrays)
        assert len(str(caught.value)) < 250
    with pytest.raises(ArgumentError, match=r"of type str; open its folder with striate\.load"):
        probe_run.compare(str(probe_run.folder.path))
