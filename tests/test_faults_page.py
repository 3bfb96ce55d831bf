"""The page of faults says where each is tested, and that is so."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUM_FAULTS = 89


def test_each_fault_has_a_row_that_names_exactly_the_files_of_its_tests():
    tested = defaultdict(set)
    for path in (ROOT / "tests").rglob("*.py"):
        for number in re.findall(r"^ *def test_fault_(\d\d)_", path.read_text(), re.M):
            tested[int(number)].add(str(path.relative_to(ROOT / "tests")))
    page = (ROOT / "docs" / "faults.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", page, re.M)
    assert [int(row[0]) for row in rows] == list(range(1, NUM_FAULTS + 1))
    named = {int(row[0]): set(re.findall(r"`([^`]+\.py)`", row[3])) for row in rows}
    assert named == {number: tested[number] for number in named}
    assert all(named.values())
