"""Which data have several labels, and what a fit asks of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, log_loss

from striate.data.source import Item
from striate.errors import DataError, UnknownNameError
from striate.tasks import task_named, task_of
from striate.tasks.multilabel.target import LabelTarget
from striate.transfer.probe import ProbeConfig

SPLITS = np.array(["train"] * 40 + ["val"] * 20 + ["test"] * 12)


def items_of(*texts):
    return [Item(id=str(n), extra={"labels": text}) for n, text in enumerate(texts)]


@pytest.fixture
def objective():
    rng = np.random.default_rng(0)
    texts = ["|".join(n for n in "abc" if rng.random() < 0.4) for _ in SPLITS]
    items = items_of(*texts)
    target = task_named("multilabel").encode(items, "made up")
    dataset = SimpleNamespace(
        name="made up",
        classes=target.classes,
        target=target,
        splits=SPLITS,
        duplicate_groups=np.arange(len(SPLITS)),
        items=items,
        indices=lambda part: np.flatnonzero(part == SPLITS),
        ids=lambda indices: [items[n].id for n in indices],
    )
    return task_of(items).objective(dataset)


def test_the_task_follows_from_the_columns():
    columns = [Item(id=str(n), extra={"a": "1", "b": "0.0"}) for n in range(2)]
    for several in (items_of("a|b", "a"), items_of("", "a"), columns):
        assert task_of(several) is task_named("multilabel")
    one = [Item(id="1", label="a", extra={"site": "x"}), Item(id="2", label="b")]
    assert task_of(one) is task_named("classification")
    number = [Item(id="1", target=1.0, extra={"unit": "mm"})]
    assert task_of(number) is task_named("regression")
    with pytest.raises(DataError, match="different tasks"):
        task_of([Item(id="1", target=1.0, extra={"labels": "a"})])


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"cat": "1", "age": "35"}, "the column age holds '35' for 0"),
        ({"cat": "yes"}, "the column cat holds 'yes'"),
        ({"cat": ""}, "the column cat holds ''"),
        ({"a|b": "1"}, "a label is named 'a|b'"),
    ],
)
def test_columns_that_are_no_labels_are_refused(extra, said):
    with pytest.raises(DataError) as caught:
        task_of([Item(id="0", extra=extra)])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_labels_are_read_from_every_form():
    usual = LabelTarget.of(items_of("b| a", "", "b;c"), "made up")
    assert usual.classes == ("a", "b", "b;c")
    assert [usual.text(n) for n in range(3)] == ["a|b", "", "b;c"]
    other = LabelTarget.of(items_of("b;a", "", "c"), "made up")
    assert other.values.tolist() == [[True, True, False], [False] * 3, [False, False, True]]
    columns = [
        Item(id="0", extra={"cat": "1", "dog": "False"}),
        Item(id="1", extra={"cat": "0", "dog": "1.0"}),
    ]
    assert LabelTarget.of(columns, "made up").values.tolist() == [[True, False], [False, True]]
    assert usual.overview() == {"classes": {"a": 1, "b": 1, "b;c": 1}, "without_label": 1}
    assert len(set(LabelTarget.of(items_of("a|b", "b|a", "", "a"), "").answers[:2])) == 1


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["", ""], "no item has a label"),
        (["a|b", "a"], "every item has the label a"),
    ],
)
def test_labels_that_teach_nothing_are_refused(texts, said):
    with pytest.raises(DataError, match=said):
        LabelTarget.of(items_of(*texts), "made up")
    column = [Item(id=str(n), extra={"a": str(n % 2), "b": "0"}) for n in range(4)]
    with pytest.raises(DataError, match="no item has the label b"):
        LabelTarget.of(column, "made up")


def test_splits_of_the_user_are_checked():
    target = LabelTarget.of(items_of("a", "b", "a|c", "", "a"), "made up")
    with pytest.raises(DataError, match="test has labels that train has not: c"):
        target.check_splits(np.array(["train", "train", "test", "val", "val"]))
    items = items_of("a", "b", "a|c", "", "a")
    notes = target.split_notes(items, np.array(["train", "train", "train", "val", "test"]))
    assert [note.code for note in notes] == [
        "single-item-label", "single-item-label", "label-not-in-split",
    ]  # fmt: skip


def test_losses_are_those_of_scikit_learn(objective):
    indices = objective.dataset.indices("val")
    outputs = torch.randn(len(indices), 3, generator=torch.Generator().manual_seed(0))
    truth = objective.values[indices]
    p = outputs.double().sigmoid().numpy()
    expected = np.mean([log_loss(truth[:, k], p[:, k]) for k in range(3)])
    targets = objective.training_targets(indices)
    loss = objective.loss()
    mean = loss.total(outputs, targets) / loss.weight(targets)
    assert mean.item() == pytest.approx(expected, rel=1e-5)
    constant = np.tile(truth.mean(0), (len(truth), 1))
    null = np.mean([log_loss(truth[:, k], constant[:, k]) for k in range(3)])
    assert objective.null_loss(indices) == pytest.approx(null, rel=1e-9)
    figures = objective.epoch_metrics(outputs, indices)
    assert tuple(figures) == objective.metrics
    calibration, loss = objective.calibrate(outputs, indices)
    assert objective.item_losses(outputs, calibration, indices).mean() == pytest.approx(loss)
    ranked = average_precision_score(truth, calibration.answers(outputs.numpy()), average="macro")
    assert figures["map"] == pytest.approx(ranked)


def test_a_probe_is_a_logistic_regression_for_each_label(objective):
    train = objective.dataset.indices("train")
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(len(SPLITS), 6, generator=generator)
    features[:, :3] += 2 * objective.training_targets(np.arange(len(SPLITS)))
    plain = ProbeConfig(Cs=(0.5,), standardize=False)
    probe = objective.fit_probe(features, train, plain)
    for k in range(3):
        model = LogisticRegression(C=0.5, tol=1e-8).fit(features[train], objective.values[train, k])
        np.testing.assert_allclose(probe.weight[k], model.coef_[0], atol=2e-3)
        np.testing.assert_allclose(probe.bias[k], model.intercept_[0], atol=2e-3)
    chosen = objective.fit_probe(features, train, objective.probe_config(0))
    assert min(chosen.scores, key=chosen.scores.get) == chosen.C
    outputs, covered = objective.cross_outputs(features, train, plain)
    assert outputs.shape == (40, 3) and np.array_equal(covered, train)
    assert objective.calibrate(outputs, covered)[1] < objective.null_loss(train)
    exchanged, _ = objective.cross_outputs(features, train, plain, judged=-features)
    assert objective.calibrate(exchanged, covered)[1] > objective.calibrate(outputs, covered)[1]


def test_a_probe_by_least_squares_aims_at_logits_of_each_label(objective):
    train = objective.dataset.indices("train")
    features = torch.randn(len(SPLITS), 30, generator=torch.Generator().manual_seed(0))
    features[:, :3] += 2 * objective.training_targets(np.arange(len(SPLITS)))
    config = ProbeConfig(Cs=(0.1, 1.0), standardize=False, squared=True)
    probe = objective.fit_probe(features, train, config)
    model = Ridge(alpha=1 / probe.C).fit(features[train], 10.0 * objective.values[train] - 5)
    np.testing.assert_allclose(probe.weight, model.coef_, atol=1e-4)
    outputs, covered = objective.cross_outputs(features, train, replace(config, Cs=(probe.C,)))
    assert outputs.shape == (40, 3) and np.array_equal(covered, train)
    assert objective.calibrate(outputs, covered)[1] < objective.null_loss(train)


def test_a_label_without_items_is_not_predicted(objective):
    features = torch.randn(len(SPLITS), 4, generator=torch.Generator().manual_seed(0))
    without = np.flatnonzero(~objective.values[:, 0])
    assert not objective.can_learn(without)
    probe = objective.fit_probe(features, without, ProbeConfig(Cs=(0.5,)))
    assert probe.weight[0].abs().max() == 0 and probe.bias[0] < -3


def test_a_prediction_of_labels(objective):
    task, names = task_named("multilabel"), ("a", "b", "c")
    calibration, _ = objective.calibrate(torch.zeros(3, 3), np.arange(3))
    found = task.predictions(
        ["x", "y"], torch.tensor([[2.0, 0.1, -1], [-3, -3, -1]]), calibration, names
    )
    assert [one.labels for one in found] == [("a", "b"), ()]
    assert found[0].as_text() == "x: a 88.1%, b 52.5%" and found[1].answer() == "none"
    assert set(found[1].to_json()) == {"item", "labels", "probabilities"}
    cells = dict(zip(task.columns(names), task.cells(found[0]), strict=True))
    assert cells["prediction"] == "a|b" and float(cells["p_c"]) == pytest.approx(0.2689, abs=1e-4)
    assert found[1].output == 2  # explained is the most probable label, though it is not given
    assert task.output_named("c", names) == 2
    with pytest.raises(UnknownNameError, match="label 'd'"):
        task.output_named("d", names)


def test_new_data_may_have_one_label_each_but_none_that_is_unknown():
    task = task_named("multilabel")
    task.check_answers([Item(id="1", label="a")], "new", ("a", "b"))
    with pytest.raises(DataError, match="labels the model does not know: c"):
        task.check_answers(items_of("a|c"), "new", ("a", "b"))
    with pytest.raises(DataError, match="has no column b"):
        task.check_answers([Item(id="1", extra={"a": "1"})], "new", ("a", "b"))
    with pytest.raises(DataError, match="no item has labels"):
        task.check_answers([], "new", ("a", "b"))
