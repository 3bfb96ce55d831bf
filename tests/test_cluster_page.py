"""The page on clusters: its files can be read, its options exist, its arithmetic is right."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "cluster.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


def known_options():
    from typer.main import get_command

    from striate.cli.main import app

    command = get_command(app).commands["fit"]
    return {option for param in command.params for option in param.opts}


def test_shells_can_read_the_scripts():
    shell = shutil.which("sh")
    assert len(blocks("sh")) == 2
    for block in blocks("sh"):
        subprocess.run([shell, "-n"], input=block, text=True, check=True)


def test_every_option_of_striate_exists():
    known = known_options()
    (manifest,) = blocks("yaml")
    arguments = re.findall(r"^ +- (\S+)$", manifest, re.M)
    arguments = arguments[arguments.index("striate") :]
    lines = [" ".join(arguments), *PAGE.replace("\\\n", " ").splitlines()]
    found = [o for line in lines if "striate fit" in line
             for o in re.findall(r"(--[a-z]+)", line.split("striate fit", 1)[1])]  # fmt: skip
    assert {"--out", "--resume", "--device", "--nproc"} <= set(found)
    assert set(found) <= known


def test_the_directives_of_slurm_are_in_its_form():
    script = next(block for block in blocks("sh") if "#SBATCH" in block)
    directives = re.findall(r"^#SBATCH (.*)$", script, re.M)
    assert len(directives) == 7
    assert all(re.fullmatch(r"--[a-z-]+(=\S+)?", line) for line in directives)
    assert script.index("#SBATCH --requeue") < script.index("head="), "before the first command"


def test_the_job_of_kubernetes_can_be_read():
    yaml = pytest.importorskip("yaml")
    (manifest,) = blocks("yaml")
    service, job = yaml.safe_load_all(manifest)
    assert service["spec"]["clusterIP"] == "None"
    spec = job["spec"]
    pod = spec["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] == job["metadata"]["name"]
    assert spec["completions"] == spec["parallelism"] == 4
    assert f"--nnodes={spec['parallelism']}" in pod["containers"][0]["args"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_arithmetic_is_right():
    parameters, gpus, rate = 28.6e6, 1000, 50e9
    both = 2 * (gpus - 1) / gpus * 4 * parameters
    thrice = 3 * (gpus - 1) / gpus * 4 * parameters
    state = 5 * 4 * parameters
    failures = 54 * 24 / 419 * 16_384 / gpus  # hours
    for figure in (
        f"{both / 1e6:.0f} MB, {both / rate * 1e3:.1f} ms",
        f"{thrice / 1e6:.0f} MB, {thrice / rate * 1e3:.1f} ms",
        f"{2 * (gpus - 1) * 5e-6 * 1e3:.1f} ms; a tree has 2 x {math.ceil(math.log2(gpus))} hops",
        f"{state / 1e6:.0f} MB, {state / gpus / 1e6:.1f} MB",
        f"{1.28e6 * 110e3 / 1e9:.0f} GB an epoch, {1.28e6 * 110e3 / 256e6:.0f} shards",
        f"{gpus * 1000 * 110e3 / 1e9:.0f} GB/s",
        f"{state / 5e9:.1f} s to copy at 5 GB/s, {state / 1e9:.1f} s to write",
        f"{failures:.0f} h",
        f"{math.sqrt(2 * 0.1 * round(failures) * 3600):.0f} s; for 20 GB, "
        f"{math.sqrt(2 * 4 * round(failures) * 3600) / 60:.0f} min",
        f"{1.28e6 / 32_000:.0f} steps an epoch",
    ):
        assert figure in PAGE, figure
