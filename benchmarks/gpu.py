"""Everything that only a machine with a GPU can show, in nine minutes; see `gpu.sh`.

    sh benchmarks/gpu.sh [--out FOLDER] [--parts NAME ...] [--minutes 9] [--device cpu --quick]

Each part is a process of its own with a time limit of its own, so that one which fails or hangs loses
no other. After each part `results.json` and `page.html` in the folder are written anew; what a part
printed lies beside them. The table of gains that the depthwise kernels are chosen by is
`gains.json` there: where it convinces, it takes the place of src/striate/depthwise/gains.json.
`--device cpu --quick` runs the same on the CPU, as small as possible, to see that it runs at all.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parents[1]
BENCHMARKS: Final = ROOT / "benchmarks"

COMMAND_LINE: Final = "from striate.cli.main import main; main()"

PYTEST: Final = ("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider")

SHOWN_LINES: Final = 60
"""Last lines of what a part printed that the page shows."""

SPARE_SECONDS: Final = 5.0
"""Seconds kept back for the page."""

PATIENCE: Final = 4.0
"""How many times its time a part may take on a CPU, where nobody waits for a GPU."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something to run.

    Attributes:
        name: Its name.
        what: What it shows, for a person.
        command: Arguments of Python.
        seconds: Its time limit.
        figures: Reads figures from the folder once it has ended; None where it left none.
    """

    name: str
    what: str
    command: Sequence[str]
    seconds: float
    figures: Callable[[Path], Any] = lambda folder: None


@dataclass(kw_only=True)
class Result:
    """What came of a part.

    Attributes:
        name: Name of the part.
        what: What it shows.
        command: The command line.
        limit: Seconds that it had.
        status: "passed", "failed", "ran out of time" or "no time was left".
        seconds: How long it took.
        figures: Its figures; None where it left none.
        printed: The end of what it printed.
    """

    name: str
    what: str
    command: str
    limit: float
    status: str = "no time was left"
    seconds: float = 0.0
    figures: Any = None
    printed: str = field(default="", repr=False)


def parts(device: str, quick: bool, folder: Path) -> list[Part]:
    """What is run, the most important first.

    Args:
        device: "cuda" or "cpu".
        quick: Whether everything is as small as possible.
        folder: Where the parts write.
    """

    def fit(name: str, sample: str, seconds: int, *options: str) -> Part:
        limit = f"{15 if quick else seconds}s"
        run = folder / name
        arguments = ["fit", f"sample:{sample}", "--time", limit, "--out", str(run)]
        return Part(
            name=name,
            what=f"a fit of sample:{sample} with --time {limit}",
            command=["-c", COMMAND_LINE, *arguments, "--device", device, *options],
            seconds=1.2 * seconds + 30,
            figures=lambda folder: fitted(folder / name / "report.json"),
        )

    tests = ["tests/depthwise/test_cuda_banded.py", "tests/depthwise/test_triton.py"]
    tests = ["tests/device/test_pretended_gpu.py"] if quick else [*tests, "tests/device"]
    chosen = ["-m", ""] if not quick else []
    gains = ["--quick"] if quick else ["--write-gains", str(folder / "gains.json")]
    step = ["--batch", "2", "--size", "32", "--steps", "7"]
    step = step if quick else ["--batch", "128", "--size", "224", "--steps", "40"]
    small = ["--quick"] if quick else []
    small_fit = ["--method", "probe"] if quick else []

    def script(name: str, *arguments: str) -> list[str]:
        return [str(BENCHMARKS / f"{name}.py"), "--device", device, *arguments]

    found = [
        Part(
            name="tests",
            what="the tests that are skipped, or pretend, without a GPU",
            command=[*PYTEST, *chosen, f"--junit-xml={folder / 'tests.xml'}", *tests],
            seconds=100,
            figures=lambda folder: tested(folder / "tests.xml"),
        ),
        Part(
            name="depthwise",
            what="depthwise convolution and its gradients against torch's own",
            command=script("depthwise", *gains),
            seconds=130,
            figures=lambda folder: tables(folder / "depthwise.txt"),
        ),
        Part(
            name="inference",
            what="three networks in evaluation against timm's",
            command=script("inference", *small, "--json", str(folder / "inference.json")),
            seconds=45,
            figures=lambda folder: read_json(folder / "inference.json"),
        ),
        Part(
            name="convnext",
            what="a training step of ConvNeXt-T with and without the depthwise kernels",
            command=script("convnext", *step),
            seconds=50,
            figures=lambda folder: tables(folder / "convnext.txt"),
        ),
        fit("images", "solar-cells", 60, *(small_fit or ["--symmetry", "dihedral"])),
        fit("volumes", "synthetic-volumes", 40, *small_fit),
    ]
    patience = 1.0 if device == "cuda" else PATIENCE
    return [replace(part, seconds=patience * part.seconds) for part in found]


def fitted(path: Path) -> dict[str, Any] | None:
    """Method, test figures, seconds and items a second of a fit."""
    report = read_json(path)
    if report is None:
        return None
    figures = {name: entry["value"] for name, entry in report["test"].items()}
    return {
        "method": report["method"],
        "test": figures,
        "seconds": report["seconds"],
        "items_per_second": report["throughput"],
    }


def tested(path: Path) -> dict[str, Any] | None:
    """How many tests passed, and which did not."""
    if not path.is_file():
        return None
    suite = ElementTree.parse(path).getroot()[0]
    count = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    bad = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return {**count, "not_passed": bad}


def tables(path: Path) -> list[list[str]] | None:
    """The rows of the Markdown tables among printed lines."""
    if not path.is_file():
        return None
    lines = [line for line in path.read_text(errors="replace").splitlines() if line[:1] == "|"]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return [row for row in rows if set("".join(row)) - set("-: ")] or None


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def run(part: Part, folder: Path, limit: float) -> Result:
    """Run a part, with all the processes that it starts, until its time limit."""
    command = [sys.executable, *part.command]
    shown = " ".join(["python", *part.command])
    result = Result(name=part.name, what=part.what, command=shown, limit=round(limit, 1))
    printed = folder / f"{part.name}.txt"
    began = time.monotonic()
    with printed.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            result.status = "failed" if process.wait(limit) else "passed"
        except subprocess.TimeoutExpired:
            result.status = "ran out of time"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    result.seconds = round(time.monotonic() - began, 1)
    lines = printed.read_text(errors="replace").splitlines()
    result.printed = "\n".join(lines[-SHOWN_LINES:])
    try:
        result.figures = part.figures(folder)
    except (ValueError, LookupError, ElementTree.ParseError) as error:
        result.figures = {"cannot be read": repr(error)}
    return result


def machine(device: str) -> dict[str, str]:
    """What the figures were measured on."""
    import torch

    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
    }
    if device == "cuda":
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        found |= {
            "gpu": torch.cuda.get_device_name(),
            "capability": capability,
            "cuda": str(torch.version.cuda),
        }
    return found


def write(folder: Path, where: dict[str, str], results: Sequence[Result]) -> None:
    """Write both files; each is there whole or as it was."""
    document = {"machine": where, "parts": [asdict(result) for result in results]}
    for name, text in (
        ("results.json", json.dumps(document, indent=2)),
        ("page.html", page(where, results)),
    ):
        part = folder / f"{name}.part"
        part.write_text(text)
        part.replace(folder / name)


STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d1d1f; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { padding: .25rem .75rem; border-bottom: 1px solid #d0d0d5; text-align: left }
pre { overflow-x: auto; padding: 1rem; background: #f4f4f4; font-size: 13px }
.passed { color: #17692f } .failed, .late { color: #a3200d; font-weight: bold }
@media (prefers-color-scheme: dark) {
  body { color: #e8eaec; background: #14171a } pre { background: #22272b }
  td, th { border-color: #30363c } .passed { color: #7ad394 } .failed, .late { color: #ff9b8a }
}
"""


def page(where: dict[str, str], results: Sequence[Result]) -> str:
    """The results as one HTML page that needs nothing else."""
    escape = html.escape
    facts = ", ".join(f"{name} {value}" for name, value in where.items())
    rows = "".join(
        f'<tr><td><a href="#{result.name}">{result.name}</a></td><td>{escape(result.what)}</td>'
        f'<td class="{_class(result)}">{result.status}</td><td>{result.seconds:g} s</td></tr>'
        for result in results
    )
    sections = "".join(
        f'<h2 id="{result.name}">{escape(result.what[:1].upper() + result.what[1:])}</h2>'
        f'<p><code>{escape(result.command)}</code></p><p class="{_class(result)}">{result.status} '
        f"after {result.seconds:g} of {result.limit:g} s</p>{_figures(result.figures)}"
        f"<details><summary>What it printed last</summary><pre>{escape(result.printed)}</pre>"
        "</details>"
        for result in results
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Striate on a GPU</title><style>{STYLE}</style><h1>Striate on a GPU</h1>"
        f"<p>{escape(facts)}</p><table><tr><th>part</th><th>what</th><th>came to</th>"
        f"<th>time</th></tr>{rows}</table>{sections}</html>"
    )


def _class(result: Result) -> str:
    return {"passed": "passed", "failed": "failed"}.get(result.status, "late")


def _figures(figures: Any) -> str:
    """Figures as a table where they are rows, else as JSON."""
    if figures is None:
        return ""
    is_rows = isinstance(figures, list) and all(isinstance(row, list) for row in figures)
    if is_rows:
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in figures
        )
        return f"<table>{body}</table>"
    return f"<pre>{html.escape(json.dumps(figures, indent=2))}</pre>"


def run_all(
    chosen: Sequence[Part], folder: Path, where: dict[str, str], seconds: float
) -> list[Result]:
    """Run the parts one after the other within so many seconds, and write after each."""
    end = time.monotonic() + seconds - SPARE_SECONDS
    results: list[Result] = []
    for part in chosen:
        limit = min(part.seconds, end - time.monotonic())
        shown = " ".join(["python", *part.command])
        result = Result(name=part.name, what=part.what, command=shown, limit=0.0)
        if limit > 0:
            print(f"{part.name}: {part.what}, at most {limit:.0f} s", flush=True)
            result = run(part, folder, limit)
        print(f"{part.name}: {result.status} after {result.seconds:g} s", flush=True)
        results.append(result)
        write(folder, where, results)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-results"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="as small as possible")
    parser.add_argument("--minutes", type=float, help="for all parts; 9 on a GPU, else 36")
    parser.add_argument("--parts", nargs="+", metavar="NAME", help="only these")
    options = parser.parse_args(arguments)
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            parser.error("torch sees no GPU; --device cpu --quick tries the script itself")
    folder = options.out.resolve()
    every = parts(options.device, options.quick, folder)
    names = [part.name for part in every]
    if unknown := set(options.parts or ()) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [part for part in every if not options.parts or part.name in options.parts]
    minutes = options.minutes or (9.0 if options.device == "cuda" else 9.0 * PATIENCE)
    results = run_all(chosen, folder, machine(options.device), 60 * minutes)
    print(f"{folder / 'page.html'} and results.json hold everything")
    return 0 if all(result.status == "passed" for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
