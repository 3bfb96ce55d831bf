"""`striate serve` as a process: what it prints, a reload by SIGHUP, and SIGTERM under load."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from striate.run.folder import MODEL

pytestmark = pytest.mark.slow  # a process that loads torch and a network

PROGRAM = "from striate.cli.main import main; main()"


class Process:
    def __init__(self, *arguments):
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "serve", *map(str, arguments), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.url = self.popen.stdout.readline().strip()

    def ask(self, path, body=None):
        """The status and the document of an answer."""
        headers = {"Content-Type": "image/png"} if body else {}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def wait_until_ready(self):
        for _ in range(600):
            if self.ask("/v2/health/ready")[0] == 200:
                return
            time.sleep(0.1)
        raise AssertionError("it did not become ready")


@pytest.fixture
def process(probe_run, tmp_path):
    folder = shutil.copytree(probe_run.folder.path, tmp_path / "run")
    found = Process(folder, "--device", "cpu", "--engine", "torch")
    found.folder = folder
    yield found
    found.popen.kill()
    found.popen.communicate()


def test_the_life_of_a_server(process, probe_run, pictures):
    assert process.url.startswith("http://127.0.0.1:")
    assert process.ask("/v2/health/live")[0] == 200
    process.wait_until_ready()
    expected = probe_run.predict([pictures[0]])[0].to_json()
    _, found = process.ask("/predict", pictures[0])
    assert found["predictions"][0]["probabilities"] == expected["probabilities"]
    assert "run is ready" in process.popen.stderr.readline()


def test_fault_89_a_hangup_with_a_broken_model_keeps_the_old_one(process, pictures):
    process.wait_until_ready()
    before = process.ask("/predict", pictures[0])
    (process.folder / MODEL).write_bytes(b"broken")
    process.popen.stderr.readline()
    process.popen.send_signal(signal.SIGHUP)
    line = next(line for line in process.popen.stderr if "not loaded anew" in line)
    assert MODEL in line
    assert process.ask("/predict", pictures[0]) == before


def test_fault_86_sigterm_under_load_loses_nothing_accepted(process, pictures):
    process.wait_until_ready()
    with ThreadPoolExecutor(12) as clients:
        asked = [clients.submit(process.ask, "/predict", pictures[n]) for n in range(12)]
        while process.ask("/v2/health/live")[0] == 200:
            with urllib.request.urlopen(process.url + "/metrics") as answer:
                if b"striate_queue_items 0.0" not in answer.read():
                    break
        process.popen.send_signal(signal.SIGTERM)
        answers = [future.result() for future in asked]
    statuses = {status for status, _ in answers}
    assert statuses <= {200, 503} and 200 in statuses
    assert all("predictions" in found for status, found in answers if status == 200)
    assert process.popen.wait(35) == 143


@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="needs pip install schemathesis"
)
def test_schemathesis_finds_no_5xx_and_nothing_that_the_document_does_not_tell(process, tmp_path):
    process.wait_until_ready()
    _, model = process.ask("/v2/models/run")
    known = {"name": model["name"], "version": model["versions"][0]}
    values = "\n".join(f'"path.{name}" = "{value}"' for name, value in known.items())
    (tmp_path / "schemathesis.toml").write_text(f"[parameters]\n{values}\n")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{process.url}/openapi.json"),
        *("--checks", f"{checks},response_schema_conformance", "--request-timeout", "60"),
        *("--max-examples", "25", "--seed", "1", "--phases", "examples,coverage,fuzzing"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert process.ask("/v2/health/ready")[0] == 200


def test_a_run_that_cannot_be_loaded_ends_the_command_in_one_line(probe_run, tmp_path):
    folder = shutil.copytree(probe_run.folder.path, tmp_path / "run")
    (folder / MODEL).write_bytes(b"broken")
    process = Process(folder)
    assert process.popen.wait(60) == 2
    *_, line = process.popen.stderr.read().splitlines()
    assert line.startswith("striate: ") and MODEL in line
    process.popen.communicate()
