"""`striate eval`: text, one JSON document, and errors."""

import json
import shutil

from striate.metrics.classification import METRICS


def test_of_the_runs_own_test_items(call, probe_run):
    code, out, err = call("eval", probe_run.folder.path)
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head == f"9 items of the test split of {probe_run.record.data}"
    value = probe_run.metrics["accuracy"]
    assert any(line.startswith("accuracy ") and f"{value:.4f}" in line for line in lines)


def test_json_is_one_document_and_nothing_else(call, probe_run, photos):
    for data in ((), (photos,)):
        code, out, err = call("eval", probe_run.folder.path, *data, "--json")
        assert (code, err) == (0, "")
        document = json.loads(out)
        assert set(document) == {
            *("data", "items", "skipped", "known", "notes", "metrics", "metrics_of_others")
        }
        assert set(METRICS) <= set(document["metrics"])
        assert document["items"] == (60 if data else 9)
        assert set(document["metrics"]["accuracy"]) == {"value", "ci95"}


def test_a_class_the_model_does_not_know(refused, probe_run, photos, tmp_path):
    for name, copy in (("disc", "disc"), ("square", "cube")):
        shutil.copytree(photos / name, tmp_path / "new" / copy)
    line = refused("eval", probe_run.folder.path, tmp_path / "new")
    assert "classes the model does not know: cube" in line
    assert "trained on disc, square, stripes" in line


def test_no_run_and_no_data(refused, probe_run, tmp_path):
    assert "no finished run" in refused("eval", tmp_path)
    assert "file not found" in refused("eval", probe_run.folder.path, tmp_path / "no")


def test_the_command_prints_a_table_and_writes_a_page(call, probe_run, tmp_path):
    page = tmp_path / "page.html"
    folder = probe_run.folder.path
    code, out, _ = call("eval", folder, "--corruptions", "--max-items", 5, "--html", page)
    assert code == 0
    assert "5 items of the test split of" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert [len(rows[c.name]) for c in probe_run.kind.corruptions] == [5] * 7
    text = page.read_text()
    assert text.count("<polyline") == 14
    assert "At severity 3 of 5" in text


def test_options_that_would_do_nothing_are_refused(refused, probe_run):
    assert "--corruptions alone" in refused("eval", probe_run.folder.path, "--max-items", 5)
