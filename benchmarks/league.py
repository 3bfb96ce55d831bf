"""The league: Striate and what a user would take instead, on real sets, in the same time.

    python benchmarks/league.py --list
    python benchmarks/league.py --sets digits freesolv --time 30 --seeds 0 --out league.json
    python benchmarks/league.py --time 60 --seeds 0 1 2 --out league.json --page league.md

Each fit is a process of its own with the same number of threads, one after the other. Its time is
of learning and answering, without the start of Python and the reading of the set; who takes more
than four times the time that there is, and a minute, is ended. Every result is added to the JSON
file as soon as it is there, and what is in it is not computed again, so that the league can be run
in pieces. A set whose package is missing is a line. Quality is accuracy, of numbers R2, each with a
95 % interval (Wilson's; bootstrap). The rank of a method on a set is by the mean over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("striate", "torch", "scikit-learn", "aeon", "rdkit", "torch_geometric", "numpy")
GRACE = 4.0
"""Times the time that there is after which, and a minute, a fit is ended."""

Row = dict[str, Any]


def problem_of(name: str, seed: int, seconds: float) -> Any:
    """The set as peers see it; unreadable items are left out."""
    from league_peers import Problem
    from league_sets import SETS, source_of

    from striate.data.source import UnreadableItem

    source = source_of(SETS[name], seed)
    readings, items = [], []
    for item in source.listing.items:
        try:
            readings.append(source.read(item))
            items.append(item)
        except UnreadableItem:
            continue
    classes: tuple[str, ...] = ()
    if all(item.label is not None for item in items):
        classes = tuple(sorted({item.label for item in items}))
        answers = np.array([classes.index(item.label) for item in items])
    else:
        answers = np.array([item.target for item in items], float)
    test = np.array([item.split == "test" for item in items])
    return Problem(
        source=source,
        readings=readings,
        ids=[item.id for item in items],
        answers=answers,
        classes=classes,
        train=np.flatnonzero(~test),
        test=np.flatnonzero(test),
        seconds=seconds,
        seed=seed,
    )


def quality(truth: np.ndarray, said: np.ndarray, *, classes: bool) -> tuple[float, float, float]:
    """Accuracy, or R2 of numbers, and its 95 % interval."""
    from scipy.stats import binomtest

    if classes:
        result = binomtest(int((truth == said).sum()), len(truth))
        interval = result.proportion_ci(method="wilson")
        return float((truth == said).mean()), float(interval.low), float(interval.high)

    def r2(places: np.ndarray) -> float:
        errors = ((truth - said)[places] ** 2).sum()
        return float(1 - errors / ((truth[places] - truth[places].mean()) ** 2).sum())

    rng, count = np.random.default_rng(0), len(truth)
    drawn = [r2(rng.integers(0, count, count)) for _ in range(1000)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return r2(np.arange(count)), float(low), float(high)


def one(name: str, method: str, seed: int, seconds: float) -> Row:
    """One fit of one method on one set, in this process."""
    from league_peers import PEERS
    from league_sets import SetMissingError

    peer = PEERS[method]
    if missing := peer.missing():
        return {"skipped": f"{', '.join(missing)} not installed"}
    try:
        problem = problem_of(name, seed, seconds)
    except SetMissingError as error:
        return {"skipped": str(error)}
    if not problem.classes and not peer.numbers:
        return {"skipped": "it predicts no numbers"}
    began, busy = time.monotonic(), time.process_time()
    said = peer.run(problem)
    found, low, high = quality(problem.answers[problem.test], said, classes=bool(problem.classes))
    return {
        "figure": "accuracy" if problem.classes else "R2",
        "quality": found,
        "low": low,
        "high": high,
        "seconds": time.monotonic() - began,
        "processor_seconds": time.process_time() - busy,
        "train": len(problem.train),
        "test": len(problem.test),
    }


def measured(name: str, method: str, seed: int, options: argparse.Namespace) -> Row:
    """One fit in a process of its own."""
    row: Row = {
        "set": name,
        "method": method,
        "seed": seed,
        "limit": options.time,
        "threads": options.threads,
        "load": os.getloadavg()[0],
    }
    command = [sys.executable, __file__, "--one", name, method, str(seed), str(options.time)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            timeout=GRACE * options.time + 60,
        )
    except subprocess.TimeoutExpired:
        return {**row, "failed": f"ended after {GRACE * options.time + 60:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {**row, "failed": lines[-1][:200]}
    return {**row, **json.loads(done.stdout.strip().splitlines()[-1])}


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells results apart: the set, the method, the seed, the time and the threads."""
    return tuple(row[name] for name in ("set", "method", "seed", "limit", "threads"))


def read_document(path: Path | None) -> dict[str, Any]:
    """The results so far, with the machine that they are of."""
    if path is not None and path.is_file():
        document: dict[str, Any] = json.loads(path.read_text())
        return document
    return {"machine": machine(), "rows": []}


def write_document(path: Path | None, document: Mapping[str, Any]) -> None:
    """Write the results, whole or not at all."""
    if path is not None:
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(document, indent=1))
        beside.replace(path)


def machine() -> dict[str, Any]:
    """What the results depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def processor() -> str:
    """Name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def summary(rows: Iterable[Row]) -> list[Row]:
    """A row for each set and method: means over the seeds, and ranks among those of the set."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if "quality" in row:
            groups.setdefault((row["set"], row["method"]), []).append(row)
    found = [
        {
            "set": name,
            "method": method,
            "seeds": len(group),
            "figure": group[0]["figure"],
            "train": group[0]["train"],
            "test": group[0]["test"],
            **{
                figure: float(np.mean([row[figure] for row in group]))
                for figure in ("quality", "low", "high", "seconds")
            },
        }
        for (name, method), group in groups.items()
    ]
    for row in found:
        rivals = [other["quality"] for other in found if other["set"] == row["set"]]
        better = sum(value > row["quality"] for value in rivals)
        level = sum(value == row["quality"] for value in rivals)
        row["rank"] = better + (level + 1) / 2
    return sorted(found, key=lambda row: (row["set"], row["rank"]))


def mean_ranks(table: Sequence[Row]) -> list[tuple[str, float, int, int]]:
    """Of each method its mean rank, its sets, and on how many of them it is the best."""
    methods = dict.fromkeys(row["method"] for row in table)
    found = []
    for method in methods:
        ranks = [row["rank"] for row in table if row["method"] == method]
        found.append((method, float(np.mean(ranks)), len(ranks), sum(r < 2 for r in ranks)))
    return sorted(found, key=lambda one: one[1])


def behind(table: Sequence[Row]) -> list[str]:
    """Where Striate is more than a point behind the best, and below its interval."""
    said = []
    for row in table:
        if row["method"] != "striate":
            continue
        best = max((r for r in table if r["set"] == row["set"]), key=lambda r: r["quality"])
        gap = best["quality"] - row["quality"]
        if gap > 0.01 and best["low"] > row["quality"]:
            said.append(f"{row['set']}: {gap:.3f} behind {best['method']}")
    return said


def lines_of(document: Mapping[str, Any]) -> list[str]:
    """The league as Markdown."""
    from league_peers import PEERS
    from league_sets import SETS

    rows = document["rows"]
    table = summary(rows)
    about = document["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    limits = sorted({row["limit"] for row in rows})
    loads = [row["load"] for row in rows] or [0.0]
    said = [
        "# The league",
        "",
        f"`python benchmarks/league.py`, {' and '.join(f'{limit:g} s' for limit in limits)} a fit; "
        f"{about['processor']}, {about['cores']} cores, threads "
        f"{', '.join(sorted({str(row['threads']) for row in rows}))}; {versions}. "
        f"Load of the machine before a fit: median {np.median(loads):.1f}, highest {max(loads):.1f}. "
        "Means over the seeds; an interval is of one seed's test items.",
        "",
        "| set | from | train, test | method | figure | quality | 95 % interval | seconds | rank |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        name = f"**{row['method']}**" if row["method"] == "striate" else row["method"]
        said.append(
            f"| {row['set']} | {SETS[row['set']].origin} | {row['train']}, {row['test']} | {name} | "
            f"{row['figure']} | {row['quality']:.3f} | {row['low']:.3f} to {row['high']:.3f} | "
            f"{row['seconds']:.1f} | {row['rank']:g} |"
        )
    said += ["", "| method | what | sets | best on | mean rank |", "|---|---|---|---|---|"]
    for method, rank, sets, wins in mean_ranks(table):
        said.append(f"| {method} | {PEERS[method].what} | {sets} | {wins} | {rank:.2f} |")
    lost = behind(table)
    said += [
        "",
        "Behind by more than a point, outside the interval: " + ("; ".join(lost) or "none"),
    ]
    left_out = sorted(
        {f"{row['set']}, {row['method']}: {row[why]}" for row in rows
         for why in ("skipped", "failed") if why in row}
    )  # fmt: skip
    if left_out:
        said += ["", "Left out:", "", *(f"- {line}" for line in left_out)]
    return said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what is not in the file yet."""
    from league_peers import PEERS
    from league_sets import SETS

    document = read_document(options.out)
    known = {key_of(row) for row in document["rows"] if "failed" not in row}
    began = time.monotonic()
    for name in options.sets or SETS:
        for seed in options.seeds:
            for method in options.peers or PEERS:
                if SETS[name].kind not in PEERS[method].kinds:
                    continue
                key = (name, method, seed, options.time, options.threads)
                if key in known:
                    continue
                if options.within and time.monotonic() - began > options.within:
                    print("the rest is left for another run", file=sys.stderr)
                    return document
                row = measured(name, method, seed, options)
                document["rows"] = [
                    *(other for other in document["rows"] if key_of(other) != key), row
                ]  # fmt: skip
                write_document(options.out, document)
                print(line_of(row), file=sys.stderr, flush=True)
    return document


def line_of(row: Row) -> str:
    """A result as a line."""
    start = f"{row['set']:18} {row['method']:18} seed {row['seed']}: "
    if "quality" not in row:
        return start + (row.get("skipped") or f"failed: {row['failed']}")
    return (
        f"{start}{row['figure']} {row['quality']:.4f} ({row['low']:.3f} to {row['high']:.3f}), "
        f"{row['seconds']:.1f} s, {row['processor_seconds']:.1f} s of the processor"
    )


def main() -> None:
    """Run the league, or a piece of it."""
    from league_peers import PEERS
    from league_sets import SETS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=list(SETS))
    parser.add_argument("--peers", nargs="+", choices=list(PEERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--time", type=float, default=60.0, help="seconds of a fit")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--within", type=float, help="seconds after which no fit is begun")
    parser.add_argument("--out", type=Path, help="JSON file that results are added to")
    parser.add_argument("--page", type=Path, help="Markdown file to write")
    parser.add_argument("--list", action="store_true", help="list sets and peers, and run nothing")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, method, seed, seconds = options.one
        print(json.dumps(one(name, method, int(seed), float(seconds))))
        return
    if options.list:
        for name, entry in SETS.items():
            print(f"{name:18} {entry.kind:7} {entry.origin}")
        for name, peer in PEERS.items():
            print(f"{name:18} {', '.join(peer.kinds)}: {peer.what}")
        return
    lines = lines_of(run(options))
    print("\n".join(lines))
    if options.page:
        options.page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
