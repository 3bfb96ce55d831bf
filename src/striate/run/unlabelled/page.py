"""The pages of `drift` and `suggest`: what was found, with small pictures of the items."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from striate.data.source import Reading
from striate.errors import one_line
from striate.report.charts import Line, share_chart
from striate.report.picture import data_url
from striate.report.render import render_page
from striate.run.run import Run
from striate.run.unlabelled.drift import Drift
from striate.run.unlabelled.looking import Seen
from striate.run.unlabelled.suggest import Suggested

MAX_SHOWN: Final = 200
"""Items whose pictures a page shows, at most."""


def drift_page(run: Run, result: Drift) -> str:
    """The findings of `drift` as one HTML document that needs nothing else.

    Args:
        run: The run.
        result: What `Run.drift` gave for it.
    """
    many = result.nouns[1]
    parts = [part for part in _drift_parts(run, result) if part]
    word = "differ from" if result.drifted else "are like"
    return render_page(
        "items.html",
        {
            "title": f"Drift of {result.run}",
            "version": version("striate"),
            "headline": f"{result.num_items} new {many} {word} the known ones",
            "verdict": result.verdict,
            "points": [one_line(note) for note in result.notes],
            "parts": parts,
            "commands": [
                "# how good the run is on LABELLED, some of the new items, once they have labels",
                f"striate eval {shlex.quote(result.run)} LABELLED",
                "# which of DATA, the new items, to label next",
                f"striate suggest {shlex.quote(result.run)} DATA --count 50 --out manifest.csv",
            ],
        },
    )


def _drift_parts(run: Run, result: Drift) -> Iterable[dict[str, Any] | None]:
    yield _part(
        "checks", "What was tested",
        "Each test is judged with the others in mind: of data like the known ones, 2 % differ in "
        "any of them.",
        head=("test", "p-value", "result"),
        rows=[(c.says, f"{c.p_value:.3g}", "differs" if c.found else "alike") for c in result.checks],
    )  # fmt: skip
    if result.differences:
        yield _part(
            "differences", "What is different about them",
            "Medians of plain figures over the run's test items and the new ones, the clearest first.",
            head=("they are", "known", "new"),
            rows=[(d.says, f"{d.known:.3g}", f"{d.new:.3g}") for d in result.differences],
        )  # fmt: skip
    if result.windows:
        points = [(i + 0.5) / len(result.windows) for i in range(len(result.windows))]
        lines = [
            Line(name="told apart", style=1,
                 points=list(zip(points, [w.told_apart for w in result.windows], strict=True))),
            Line(name="unknown", style=2,
                 points=list(zip(points, [w.unknown for w in result.windows], strict=True))),
        ]  # fmt: skip
        yield _part(
            "time", f"Over time, by {result.time}",
            "In blue how well a classifier tells the items of a window from held-out ones, 50 % "
            "being chance; in orange the share of unknown ones.",
            chart=share_chart(lines, title="Windows of time", x_label="from the first to the last",
                              y_label="told apart, unknown"),
            head=("window", "items", "unknown", "told apart", "result"),
            rows=[(f"{w.first} to {w.last}", str(w.count), _share(w.unknown), f"{w.told_apart:.2f}",
                   "differs" if w.found else "alike") for w in result.windows],
        )  # fmt: skip
    if result.classes:
        yield _part(
            "classes", "By class",
            "For which share of the test items and of the new ones each class is predicted, and "
            "whether what is taken for it is like the known items that are.",
            head=("class", "known", "new", "unknown", "its items"),
            rows=[(one_line(c.name), _share(c.known), _share(c.new), _share(c.unknown),
                   "too few" if c.p_value is None else "differ" if c.found else "alike")
                  for c in result.classes],
        )  # fmt: skip
    if result.strangest:
        texts = {item: f"{value:.1f} above the threshold" for item, value in result.strangest}
        yield _part(
            "strangest", "The strangest",
            "Unlike anything that the run has learnt, the strangest first. The unit is a standard "
            "deviation over known items.",
            pictures=pictures(run, result.seen, texts),
        )  # fmt: skip


def suggest_page(run: Run, result: Suggested, manifest: str) -> str:
    """The suggestions as one HTML document that needs nothing else.

    Args:
        run: The run.
        result: What `Run.suggest` gave for it.
        manifest: Name of the manifest that they were written to.
    """
    many = run.kind.nouns[1]
    shown = result.items[:MAX_SHOWN]
    texts = {one.item: f"{one.prediction}: {one.reason}" for one in shown}
    more = len(result.items) - len(shown)
    return render_page(
        "items.html",
        {
            "title": f"What to label next for {run.folder.path}",
            "version": version("striate"),
            "headline": f"{len(result.items)} of {result.num_items} {many} to label",
            "verdict": "Chosen so that the next fit learns most from them: what the run is in "
            "doubt about, and no two alike.",
            "points": [one_line(note) for note in result.notes],
            "parts": [
                _part(
                    "items",
                    "The suggestions",
                    "The first are the most useful. Below each stands what the run takes it for, "
                    "and why it is here.",
                    pictures=pictures(run, result.seen, texts),
                    more=f"{more} more in the manifest" if more else "",
                )
            ],
            "commands": [
                f"# fill in the column label of {manifest}, add its rows (or the files) to the",
                "# data that the run was made from, and learn from both",
                "striate fit DATA",
            ],
        },
    )


def pictures(run: Run, seen: Seen, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a gallery shows of some items, in the order of their texts; they are read once more.

    Args:
        run: The run.
        seen: The items that it looked at.
        texts: A line for each item that is shown, by its id.
    """
    wanted = [item for item in seen.items if item.id in texts]
    found = {}
    for item, reading in run.read(seen.source, wanted):
        drawing = run.kind.thumbnail(reading) if isinstance(reading, Reading) else None
        image = None if drawing is None else data_url(drawing)
        found[item.id] = {"id": one_line(item.id), "text": one_line(texts[item.id]), "image": image}
    return [found[name] for name in texts if name in found]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _part(
    name: str,
    title: str,
    about: str,
    *,
    head: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    chart: str = "",
    pictures: Sequence[Mapping[str, Any]] = (),
    more: str = "",
) -> dict[str, Any]:
    return {
        "id": name, "title": title, "about": about, "head": head, "rows": rows, "chart": chart,
        "pictures": pictures, "more": more,
    }  # fmt: skip
