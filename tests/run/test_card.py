"""The model card: read by Hugging Face's own parser, and faithful to the report."""

import pytest

from striate.cli.main import run as command
from striate.errors import OptionError
from striate.run.card import _plain, _table, write_card


def test_the_hub_reads_its_head(probe_run):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(probe_run.model_card())
    assert card.data.library_name == "striate"
    assert card.data.pipeline_tag == "image-classification"
    told = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert told["accuracy"] == probe_run.report.test.accuracy.value
    assert {result.dataset_name for result in card.data.eval_results} == {probe_run.report.task}


def test_it_holds_figures_data_and_limits(probe_run):
    text, report = probe_run.model_card(), probe_run.report
    for heading in (
        "Model Details",
        "Uses",
        "Bias, Risks, and Limitations",
        "How to Get Started with the Model",
        "Training Details",
        "Evaluation",
        "Environmental Impact",
    ):
        assert f"\n## {heading}\n" in text
    low, high = report.test.accuracy.ci95
    assert f"| accuracy | {report.test.accuracy.value:.4g} | {low:.4g} to {high:.4g} |" in text
    for name in probe_run.classes:
        assert f"| {name} | 20 |" in text
    assert report.hardware and report.hardware in text.replace("\\", "")
    assert "xa0" not in text  # the space between a number and its unit
    assert ("Energy" in text) == (report.energy_joules is not None)


def test_the_command_writes_it_and_keeps_what_people_add(probe_run, tmp_path, capsys):
    out = tmp_path / "card.md"
    assert command(["card", str(probe_run.folder.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_text() == probe_run.model_card()
    assert write_card(probe_run, out) == out
    out.write_text(out.read_text() + "License: MIT\n")
    with pytest.raises(OptionError, match="somebody has changed"):
        write_card(probe_run, out)


def test_names_cannot_break_the_markdown():
    assert _plain("a|b<i>*") == "a\\|b\\<i\\>\\*"
    assert "\n" not in _plain("two\nlines")
    assert _plain("49\u00a0%") == "49 %"
    rows = _table(("A", "B"), [(_plain("x|y"), "1")]).splitlines()
    assert rows[-1] == "| x\\|y | 1 |" and len(rows) == 3
