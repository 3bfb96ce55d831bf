"""`check`: what there is to know of some data, before any training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from striate.data.dataset import Dataset
from striate.errors import one_line
from striate.files import csv_text, user_cache_folder
from striate.fitting.baseline import check_network
from striate.fitting.check.examine import Findings, copies_of, examine
from striate.fitting.method import load_methods
from striate.fitting.options import AUTO, FitOptions
from striate.fitting.prepare import open_data, read_dataset
from striate.kinds.kind import kind_named
from striate.progress import ProgressLike, as_progress
from striate.tasks.task import task_of
from striate.typing import PathLike

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Data that were read, checked and split.

    Attributes:
        dataset: The data as a fit would see them.
        choices: What a fit would choose before it trains, by topic.
        notes: What a user should know of how they become inputs.
        findings: What was found in the items; empty where they were not examined.
    """

    dataset: Dataset
    choices: dict[str, str]
    notes: tuple[Any, ...]
    findings: Findings = field(default_factory=Findings)

    def as_json(self) -> dict[str, Any]:
        """The document of `striate check --json`."""
        dataset = self.dataset
        return {
            "data": dataset.name,
            "kind": dataset.kind,
            "items": len(dataset.items),
            "choices": self.choices,
            **dataset.target.overview(),
            "splits": {part: len(dataset.indices(part)) for part in ("train", "val", "test")},
            "notes": [
                {"code": n.code, "severity": n.severity, "message": n.message, "items": n.ids}
                for n in (*dataset.notes, *self.notes)
            ],
            "skipped": [{"item": skip.id, "reason": skip.reason} for skip in dataset.skipped],
            "duplicates": copies_of(dataset),
            **self.findings.as_json(dataset),
        }

    def as_text(self) -> str:
        """The findings in lines, warnings first."""
        dataset = self.dataset
        what, details = task_of(dataset.items).objective(dataset).composition()
        splits = ", ".join(
            f"{part} {len(dataset.indices(part))}" for part in ("train", "val", "test")
        )
        chosen = "".join(f"; {topic} {choice}" for topic, choice in self.choices.items())
        lines = [f"{len(dataset.items)} items {what}: {details}", f"split: {splits}{chosen}"]
        notes = sorted((*dataset.notes, *self.notes), key=lambda note: note.severity != "warning")
        lines += [f"{note.severity}: {note.message}" for note in notes]
        lines += self.findings.lines(dataset)
        skipped = dataset.skipped
        lines += [f"left out: {skip.id}: {skip.reason}" for skip in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            lines.append(f"left out: {len(skipped) - _SHOWN} more")
        if len(lines) == 2:
            lines.append("nothing to complain about")
        return "\n".join(map(one_line, lines))

    def patch(self) -> str:
        """A table of corrections for `striate fit --patch`, as CSV; empty labels leave items out."""
        return csv_text(("id", "label", "was", "reason"), self.findings.patch(self.dataset))


def check(
    data: PathLike,
    *,
    seed: int = 0,
    kind: str = AUTO,
    image_size: int | None = None,
    examined: bool = False,
    progress: ProgressLike = None,
) -> Checked:
    """Read, check and split some data as a fit would, and fit the inputs to the training items.

    What it refuses a fit refuses, by the same words, and what it passes a fit can learn from.

    Args:
        data: See `striate.fit`.
        seed: Seed of the split.
        kind: What an item is; follows from the data by default.
        image_size: Side of the network's input; chosen from the data by default.
        examined: Whether the items are looked at too: their quality, labels that are likely wrong,
            odd items, and figures that give a class away.
        progress: Told of the work.

    Raises:
        DataError: The data cannot be used for a fit; the message says why.
        UnknownNameError: There is no such kind.
        ArgumentError: The kind of the data has no such option.
    """
    options = FitOptions(seed=seed, kind=kind, image_size=image_size)
    source = open_data(data, options)
    item_kind = kind_named(source.kind)
    options.check_kind(item_kind.name, item_kind.named_options)
    task = task_of(source.listing.items)
    task.check_learnable(source.listing.items, source.name)
    chosen, choices = item_kind.choose(source, options.for_inputs(item_kind.named_options))
    dataset, inputs = read_dataset(
        source,
        item_kind,
        task,
        folder=user_cache_folder(),
        options=chosen,
        seed=seed,
        progress=as_progress(progress),
    )
    details = {
        "kind": item_kind.name,
        "shape": " x ".join(map(str, inputs.input_shape)),
        **inputs.details(),
    }
    if len(ways := inputs.framings()) > 1:
        details["framing"] = f"what cross-validation in `fit` prefers of {', '.join(ways)}"
    defaults = item_kind.defaults(inputs)
    network = load_methods().get(defaults.methods[0]).network_of("auto", defaults)
    if network is not None:
        check_network(network, inputs, task.objective(dataset).num_outputs)
    damage = tuple(source.damage()) if examined else ()
    told = as_progress(progress)
    findings = Findings()
    if examined:
        findings = examine(source, item_kind, task, dataset, inputs, seed=seed, progress=told)
    return Checked(
        findings=findings,
        dataset=dataset,
        choices={**{choice.topic: choice.choice for choice in choices}, **details},
        notes=(*inputs.notes(), *damage),
    )
