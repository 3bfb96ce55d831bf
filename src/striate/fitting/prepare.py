"""The data of a fit: read, checked, split, told to the user, and the same after a resume."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import Dataset
from striate.data.folder_walk import few
from striate.data.layouts.layout import open_source
from striate.data.prepare import join_groups, prepare
from striate.data.snapshot import difference, from_json, snapshot, to_json
from striate.data.source import Note, Source
from striate.data.splits import MAX_HELD_OUT, SPLITS, learning_splits
from striate.data.splits.part import part_of, seconds_of_one
from striate.errors import DataError, OptionError, Problems, RunError, UserError
from striate.files import sha256, sha256_file
from striate.fitting.baseline import check_network
from striate.fitting.context import FitContext
from striate.fitting.framing import choose_scale
from striate.fitting.method import Method, load_methods
from striate.fitting.options import AUTO, FitOptions
from striate.kinds.inputs import Inputs
from striate.kinds.kind import Kind, kind_named
from striate.progress import Progress, counted, duration
from striate.report.schema import Choice
from striate.run.folder import CHECKPOINTS, LOCK, RunFolder
from striate.tasks.task import Task
from striate.typing import PathLike

JUDGED_PER_SECOND: Final = (10, 20)
"""Validation and test items for each second of a fit, at most, where Striate chooses them."""

LEAST_LIMIT: Final = (500, 1_000)
"""Validation and test items that are allowed however little time there is."""

READ_SHARE: Final = 1 / 3
"""Largest share of the time that reading the items may take."""

FEWEST_TIMED: Final = 4_096
"""Items from which on the time that reading them takes is measured before."""

_OF_SPLITS: Final = {
    "class-not-in-split",
    "duplicate-across-splits",
    "few-test-items",
    "group-across-splits",
    "label-not-in-split",
}
"""Codes of notes on how items are spread over the splits."""


def open_data(data: PathLike | Source, options: FitOptions) -> Source:
    """The source of some data, of the kind that the options name.

    Raises:
        DataError: The data cannot be used.
        UnknownNameError: There is no such kind.
        ArgumentError: It is neither a path nor a source.
    """
    if options.named_kind is not None:
        kind_named(options.named_kind)
    if isinstance(data, Source):
        return data
    return open_source(data, options.named_kind)


def read_data(context: FitContext) -> None:
    """Read, check and split the items, and fit to the training items what makes inputs of them.

    Raises:
        DataError: The data cannot be used.
        ArgumentError: An option does not suit the data.
        RunError: A resumed run has other data than it began with.
    """
    kind, options = context.kind, context.options.for_inputs(context.kind.named_options)

    def choose() -> dict[str, Any]:
        chosen, choices = kind.choose(context.source, options)
        return {"options": chosen, "choices": [choice.model_dump() for choice in choices]}

    context.task.check_learnable(context.source.listing.items, context.source.name)
    decided = context.steps.step("inputs", choose)
    for choice in decided["choices"]:
        context.tell(Choice(**choice))
    context.input_options = decided["options"]
    read_in_time(context)
    val, test = context.steps.step(
        "held out at most", lambda: most_held_out(context.options.seconds)
    )
    context.dataset, context.inputs = read_dataset(
        context.source,
        kind,
        context.task,
        folder=context.folder.path / CHECKPOINTS,
        options=decided["options"],
        seed=context.options.seed,
        most=(val, test),
        progress=context.progress,
    )
    if context.options.folds is not None:
        if context.dataset.user_split:
            why = "every item is tested in one of the folds"
            context.tell(Choice(topic="given split", choice="not used", why=why))
        context.dataset = replace(context.dataset, notes=_without_split(context.dataset.notes))
        resplit(context, all_learnt(context.dataset, context.options))
    settle(context)
    _tell(context)
    _same_as_before(context)
    choose_scale(context)


def read_in_time(context: FitContext) -> None:
    """Leave as many items as can be read in a part of the time; the user is told of it.

    Where there are few, where they were read before, or where the number of epochs is given, which
    no time limits, all are read.

    Args:
        context: The fit, with the options of its inputs.
    """
    num_items = len(context.source.listing.items)
    kept = context.steps.step("items read", lambda: _share_in_time(context))
    if kept["share"] < 1:
        context.source = part_of(context.source, kept["share"], seed=context.options.seed)
        many = len(context.source.listing.items)
        why = (
            f"to read all would take about {duration(kept['seconds'])}, and a third of the time is "
        )
        why += "for that; more `time` reads more"
        choice = f"{many} of {num_items}, drawn at random"
        context.tell(Choice(topic="items read", choice=choice, why=why))


def _share_in_time(context: FitContext) -> dict[str, float]:
    """The share of the items to read, a power of one half, and the seconds for all of them."""
    items, options = context.source.listing.items, context.input_options
    everything = {"share": 1.0, "seconds": 0.0}
    if len(items) < FEWEST_TIMED or context.options.epochs is not None:
        return everything
    size = context.kind.read_size(options)
    expected = len(items) * seconds_of_one(context.source, size, seed=context.options.seed)
    given = max(READ_SHARE * context.seconds_left(), 1.0)
    if expected <= given:
        return everything
    answered = [item for item in items if context.task.is_answered(item)]
    if context.kind.is_kept(context.source, answered, options=options):
        return everything
    return {"share": 2.0 ** math.floor(math.log2(given / expected)), "seconds": expected}


def resplit(context: FitContext, splits: NDArray[np.str_]) -> None:
    """Give a fit other splits of its items, and fit the inputs to the training items of these.

    Args:
        context: The fit, its items read.
        splits: (items,) "train", "val" or "test".

    Raises:
        DataError: The training items cannot be learnt from.
    """
    context.dataset = replace(context.dataset, splits=splits)
    train = context.dataset.indices("train")
    context.inputs = context.kind.inputs_type.fitted(
        context.dataset.store.each(train), context.input_options
    ).with_conventions(context.source.conventions)


def _without_split(notes: Sequence[Note]) -> tuple[Note, ...]:
    """The notes but for those on a split that is not used."""
    return tuple(note for note in notes if note.code not in _OF_SPLITS)


def all_learnt(dataset: Dataset, options: FitOptions) -> NDArray[np.str_]:
    """(items,) Splits without a test part, for the model that learns from all items."""
    groups = join_groups(dataset.duplicate_groups, dataset.items)
    nothing = np.zeros(len(groups), bool)
    return learning_splits(dataset.target.strata, groups, nothing, seed=options.seed)


def settle(context: FitContext) -> None:
    """Set what follows from the items, their splits and the inputs: the task on them, the defaults.

    Args:
        context: The fit, with its items and inputs.
    """
    kind = context.kind
    if context.options.model != AUTO:
        context.inputs = context.inputs.for_model(context.options.model)
    elif context.task.own_methods or context.options.method not in (
        AUTO,
        *kind.defaults(context.inputs).methods,
    ):
        context.inputs = context.inputs.for_photographs()
    context.objective = context.task.objective(context.dataset)
    context.defaults = kind.defaults(context.inputs)
    context.objective.quick = context.defaults.quick_probes
    context.objective.aim = context.options.aim


def most_held_out(seconds: float) -> tuple[int, int]:
    """Validation and test items, at most, so that a short fit has time to learn.

    Args:
        seconds: Time for the whole fit.

    >>> most_held_out(60), most_held_out(600)
    ((600, 1200), (5000, 10000))
    """
    val, test = (
        max(least, min(most, int(rate * seconds)))
        for least, most, rate in zip(LEAST_LIMIT, MAX_HELD_OUT, JUDGED_PER_SECOND, strict=True)
    )
    return val, test


def read_dataset(
    source: Source,
    kind: Kind,
    task: Task,
    *,
    folder: Path,
    options: dict[str, Any],
    seed: int,
    progress: Progress,
    most: tuple[int, int] = MAX_HELD_OUT,
) -> tuple[Dataset, Inputs[Any]]:
    """The items of a source, read once and split, and the inputs fitted to the training items.

    Args:
        source: The data.
        kind: Kind of the items.
        task: What is predicted.
        folder: Where files may be kept while the process lives.
        options: What `Kind.choose` gave.
        seed: Seed of the split.
        progress: Told of the work.
        most: Validation and test items that are chosen, at most, where the user gave no split.

    Raises:
        DataError: The data cannot be used; every problem that was found is listed.
        ArgumentError: An option does not suit the data.
    """
    problems = Problems()
    dataset = prepare(
        source,
        task,
        lambda source, items: kind.build_store(
            source, items, folder=folder, options=options, progress=progress
        ),
        seed=seed,
        most=most,
        problems=problems,
    )
    with problems:
        check_parts(dataset)
    inputs: Inputs[Any] | None = None
    with problems:
        readings = dataset.store.each(dataset.indices("train"))
        inputs = kind.inputs_type.fitted(readings, options).with_conventions(source.conventions)
    problems.tell()
    assert inputs is not None, "what is not fitted is a problem"
    return dataset, inputs


def check_parts(dataset: Dataset) -> None:
    """Make sure that there is something to train, to validate and to test on.

    Raises:
        DataError: A part is empty.
    """
    empty = [part for part in SPLITS if not len(dataset.indices(part))]
    if empty:
        groups = len(set(dataset.duplicate_groups.tolist()))
        same = len(dataset.items) - groups
        copies = f", {same} of them copies of others" if same else ""
        classes = f" in {counted(len(dataset.classes), 'class')}" if dataset.classes else ""
        why = f"there are {counted(len(dataset.items), 'item')}{classes}{copies}"
        fix = "add items (a class needs three or more), or give another split"
        whole = len(set(join_groups(dataset.duplicate_groups, dataset.items).tolist()))
        if whole < groups:
            why += f", and each of the {counted(whole, 'group')} stays in one part"
            fix = "add groups (a class needs items in three), or leave the groups out"
        what = f"{dataset.name}: no item is left for the {' and the '.join(empty)} part"
        raise DataError(what, why=why, fix=fix)


def methods_to_try(context: FitContext) -> list[Method]:
    """The method that the user named, or those that suit the task or the kind, in their order.

    Raises:
        UnknownNameError: There is no such method.
        ArgumentError: The named method does not suit the data, or an option would be ignored.
    """
    methods, asked = load_methods(), context.options.method
    suited = context.task.own_methods or context.defaults.methods
    names = suited if asked == "auto" else (asked,)
    found = [methods.get(name) for name in names]
    if asked == AUTO and context.defaults.fixed_features:
        only = context.options.model in (AUTO, context.defaults.features)
        found = [method for method in found if only or not method.needs_baseline]
    for method in found:
        if reasons := method.reasons(context):
            others = " or ".join(name for name in suited if name != method.name)
            fix = f"choose {others}" if others else context.task.instead
            raise OptionError("method", method.name, why=reasons[0], fix=fix)
    uses = frozenset().union(*(method.uses for method in found))
    found = _fitting(context, found)
    implied = found[0].implied if len(found) == 1 else {}
    context.options.check_methods(context.kind.name, uses, implied)
    return found


def _fitting(context: FitContext, methods: list[Method]) -> list[Method]:
    """The methods whose network takes the inputs; the user is told of others.

    Raises:
        ArgumentError: That of the first does not: the user has named it, or it is the baseline.
    """
    kept: list[Method] = []
    checked: set[str | None] = set()
    for method in methods:
        name = method.network_of(context.options.model, context.defaults)
        try:
            if name is not None and name not in checked:
                check_network(name, context.inputs, context.objective.num_outputs)
        except UserError as error:
            if not kept:
                raise
            context.tell(Choice(topic="method", choice=f"without {method.name}", why=str(error)))
        else:
            checked.add(name)
            kept.append(method)
    return kept


def _tell(context: FitContext) -> None:
    dataset = context.dataset
    what, details = context.objective.composition()
    sizes = {part: len(dataset.indices(part)) for part in SPLITS}
    context.progress.say(
        f"data: {len(dataset.items)} items {what} ({details}); "
        f"{sizes['train']} to train, {sizes['val']} to validate, "
        + (f"{sizes['test']} to test" if sizes["test"] else "each tested in one fold")
    )
    facts = context.inputs.details()
    shape = " x ".join(map(str, context.inputs.input_shape))
    context.progress.say(
        "; ".join([f"inputs: kind {dataset.kind}; shape {shape}", *map(" ".join, facts.items())])
    )
    for note in (*dataset.notes, *context.inputs.notes()):
        context.progress.say(f"{note.severity}: {note.as_line()}")
    if dataset.skipped:
        first = dataset.skipped[0]
        context.progress.say(
            f"warning: {len(dataset.skipped)} items left out, the first: {first.id}: {first.reason}"
        )


def check_finished(folder: RunFolder, source: Source) -> None:
    """Refuse to take the finished run of other data for one of these.

    Raises:
        RunError: An item that the run knows is not among them.
    """
    there = {item.id for item in source.listing.items}
    known = from_json(folder.read_json(LOCK)).items
    gone = [item.id for item in known if item.id not in there]
    if gone:
        raise RunError(
            f"run folder {str(folder.path)!r} holds a finished run of other data",
            why=f"{counted(len(gone), 'item')} of it are not in {source.name}: {few(gone)}",
            fix="choose another folder with `out=`",
        )


def _same_as_before(context: FitContext) -> None:
    """A resumed fit must see the data that it began with."""
    folder = context.folder
    strategy, path = context.strategy, folder.path / LOCK
    document = to_json(snapshot(context.dataset))
    seen = sha256(json.dumps(document).encode())
    if strategy.agree(seen != strategy.share(seen)):
        raise RunError(
            "the processes of this fit see different data", fix="give each of them the same DATA"
        )
    is_new = strategy.share(not path.exists())
    if is_new and strategy.is_writer:
        folder.write_json(LOCK, document)
    strategy.barrier()
    digest = sha256_file(path)
    if digest != context.steps.step(LOCK, lambda: digest):
        raise RunError(
            f"{str(path)!r} is not what the fit wrote",
            fix="restore it, or start again with another `out=`",
        )
    if is_new:
        return
    before = from_json(folder.read_json(LOCK))
    if changes := difference(before, context.dataset):
        raise RunError(
            f"cannot resume {str(folder.path)!r}: the data changed",
            why="; ".join(changes),
            fix="restore the data, or choose another folder with `out=`",
        )
