"""What the data page is told: every number is that of the run's own files."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from striate.errors import ArgumentError, DataError
from striate.explorer.data import features
from striate.explorer.data.features import DataOfRun, FeatureJob
from striate.explorer.data.session import DataSession
from striate.explorer.numbers import unpacked


def columns(table):
    """Values of each column by item, None for none."""
    found = {}
    for column in table["columns"]:
        if "names" in column:
            codes = unpacked(column["codes"]).astype(int)
            values = [None if code < 0 else column["names"][code] for code in codes]
        else:
            values = unpacked(column["numbers"]).tolist()
        found[column["key"]] = dict(zip(table["names"], values, strict=True))
    return found


def test_the_answers_on_file_are_those_of_predictions_csv(data, rows):
    found = columns(data.table(whole=False))
    assert {name for name, answer in found["answer"].items() if answer} == set(rows)
    for name, row in rows.items():
        assert found["truth"][name] == row["label"]
        assert found["answer"][name] == row["prediction"]
        assert found["split"][name] == row["split"]
        right = row["label"] == row["prediction"]
        assert found["result"][name] == ("right" if right else "wrong")
        assert found["confidence"][name] == pytest.approx(float(row["confidence"]), rel=1e-6)
    json.dumps(data.table(whole=True), allow_nan=False)


def test_of_the_others_they_are_those_of_predict(data, rows, probe_run, photos):
    found = columns(data.table(whole=True))
    others = [name for name in found["answer"] if name not in rows][:20]
    assert others and {found["split"][name] for name in others} <= {"train", "val"}
    predictions = probe_run.predict([photos / name for name in others])
    for name, prediction in zip(others, predictions, strict=True):
        assert found["answer"][name] == prediction.label
        assert found["confidence"][name] == pytest.approx(prediction.confidence, abs=1e-5)
        assert found["novelty"][name] == pytest.approx(prediction.novelty, abs=1e-3)
    for name, row in rows.items():
        assert found["answer"][name] == row["prediction"]


def test_counts_of_classes_are_those_of_the_report(data, probe_run):
    found = columns(data.table(whole=True))
    classes = list(probe_run.classes)
    counts = np.zeros((len(classes),) * 2, int)
    for name, split in found["split"].items():
        if split == "test":
            counts[classes.index(found["truth"][name]), classes.index(found["answer"][name])] += 1
    assert counts.tolist() == [list(row) for row in probe_run.report.confusion]


def test_an_item_has_the_probabilities_of_its_row(data, rows):
    number = next(n for n, item in enumerate(data.items) if item.split == "test")
    row, found = rows[data.items[number].id], data.item(number)
    assert {e["class"]: e["probability"] for e in found["probabilities"]} == {
        name.removeprefix("p_"): float(value) for name, value in row.items() if name[:2] == "p_"
    }
    assert found["probabilities"][0]["class"] == row["prediction"]
    assert "|".join(found["set"]) == row["set"]


def test_the_map_has_a_place_for_each_item(data):
    found = data.plane("pca")
    assert found["state"] == "ready" and found["notes"] == []
    assert np.isfinite(unpacked(found["x"])).sum() == len(data.items)
    assert 1 >= found["shares"][0] >= found["shares"][1] > 0
    with pytest.raises(ArgumentError, match="no such map"):
        data.plane("tsne")


def test_the_nearest_are_training_items_and_not_the_item_itself(data, probe_run):
    train = [n for n, item in enumerate(data.items) if item.split == "train"]
    found = data.job.found.features.astype(np.float64)
    spread = found[train].std(0)
    found = found[:, spread > 1e-6 * spread.max()]  # what else varies is rounding
    features_ = StandardScaler().fit(found[train]).transform(found)
    for number in (train[3], next(n for n in range(len(data.items)) if n not in train)):
        found = data.nearest(number)["nearest"]
        assert len(found) == 8 and number not in [each["item"] for each in found]
        cosine = features_ @ features_[number]
        cosine /= np.linalg.norm(features_, axis=1) * np.linalg.norm(features_[number])
        expected = sorted((n for n in train if n != number), key=lambda n: -cosine[n])[:8]
        assert [each["item"] for each in found] == expected
        for each in found:
            assert each["label"] == data.items[each["item"]].label
            assert each["similarity"] == pytest.approx(cosine[each["item"]], abs=1e-5)


def test_an_item_of_the_users_finds_itself_among_the_training_items(data, probe_run, photos):
    number = next(n for n, item in enumerate(data.items) if item.split == "train")
    source = probe_run.open(str(photos / data.items[number].id))
    ((_, reading),) = probe_run.read(source, source.listing.items)
    first = data.nearest_to(reading)["nearest"][0]
    assert first["item"] == number and first["similarity"] == pytest.approx(1, abs=1e-4)


def test_a_thumbnail_is_a_small_picture(data):
    url = data.thumbnail(0)["url"]
    assert url.startswith("data:image/jpeg;base64,") and len(url) < 20_000
    with pytest.raises(ArgumentError, match="item 999"):
        data.thumbnail(999)


def test_features_are_read_again_from_the_cache(data, probe_run, monkeypatch):
    def not_again(*_):
        raise AssertionError("the items were read again")

    monkeypatch.setattr(FeatureJob, "_computed", not_again)
    again = FeatureJob(DataOfRun(probe_run, data.items))
    found = again.wait(60)
    assert found is not None and again.state()["state"] == "ready"
    np.testing.assert_array_equal(found.features, data.job.found.features)


def test_a_damaged_cache_is_computed_again(data, probe_run):
    job = FeatureJob(DataOfRun(probe_run, data.items[:4]))
    job._path().parent.mkdir(parents=True, exist_ok=True)
    job._path().write_bytes(b"no features")
    found = job.wait(60)
    assert found is not None and found.positions.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.features, data.job.found.features[:4], atol=1e-4)


def test_data_that_are_gone_leave_everything_but_the_map(probe_run, monkeypatch, rows):
    def gone(*_):
        raise DataError("no such folder: photos")

    monkeypatch.setattr(features, "open_source", gone)
    session = DataSession(probe_run)
    session.job._path = lambda: probe_run.folder.path / "nothing"
    assert session.job.wait(60) is None
    state = session.state()
    assert state["state"] == "failed" and state["why"] == "no such folder: photos"
    assert session.plane("pca") == state and session.nearest(0) == state
    assert session.thumbnail(0) == {"url": None}
    answers = columns(session.table(whole=True))["answer"]
    assert {name: answer for name, answer in answers.items() if answer} == {
        name: row["prediction"] for name, row in rows.items()
    }


def test_of_too_many_items_the_test_items_are_kept(probe_run, data, monkeypatch):
    monkeypatch.setattr(features, "MAX_BYTES", 4 * probe_run.model.num_features * 20)
    monkeypatch.setattr(FeatureJob, "_kept", lambda _: None)
    monkeypatch.setattr(FeatureJob, "_keep", lambda *_: None)
    found = FeatureJob(DataOfRun(probe_run, data.items)).wait(60)
    assert len(found.positions) == 20
    kept = {data.items[n].id for n in found.positions}
    test = {item.id for item in data.items if item.split == "test"}
    assert test <= kept or kept <= test
    assert "are not on the map" in found.notes[0]


def test_two_runs_are_compared_as_the_command_does(data, probe_run, kernel_run):
    found = data.compared
    compared = probe_run.compare(kernel_run)
    assert {key: found[key] for key in compared.as_json()} == compared.as_json()
    both = columns(data.table(whole=True))
    test = [name for name, split in both["split"].items() if split == "test"]
    theirs = {row["item"]: row for row in kernel_run.folder.read_csv("predictions.csv")}
    counts = {}
    for name in test:
        assert both["answer2"][name] == theirs[name]["prediction"]
        truth = both["truth"][name]
        right = (both["answer"][name] == truth, both["answer2"][name] == truth)
        expected = {
            (True, True): "both right",
            (True, False): "right in the first only",
            (False, True): "right in the second only",
            (False, False): "both wrong",
        }[right]
        assert both["agreement"][name] == expected
        counts[expected] = counts.get(expected, 0) + 1
    assert found["counts"] == counts
    assert counts.get("right in the first only", 0) == found["first_better"]
    assert counts.get("right in the second only", 0) == found["second_better"]


def test_without_a_second_run_nothing_is_compared(probe_run):
    with pytest.raises(ArgumentError, match="no second run"):
        DataSession(probe_run).compared  # noqa: B018
