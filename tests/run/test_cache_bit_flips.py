"""No bit of what is kept in the cache changes without being noticed: it is then made again."""

import random
from dataclasses import asdict

import pytest

from striate.files import sealed, sealed_json, sha256_file, unsealed
from striate.run.engines.files import EngineFile
from striate.run.export import Check

CHECK = Check(items="test items", count=9, same=9, largest=1e-6, outputs=1e-5)


def flips(path, count=40):
    """Flip one random bit of a file after the other, and mend it again."""
    whole, draws = path.read_bytes(), random.Random(path.name)
    for _ in range(count):
        place = draws.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        yield place
    path.write_bytes(whole)


@pytest.fixture
def engine_file(tmp_path):
    """A file of an engine of two parts that was checked."""
    file = EngineFile(run=None, engine=None)
    vars(file)["folder"] = tmp_path  # otherwise named by the run and the versions of packages
    for name in ("model.xml", "model.bin"):
        (tmp_path / name).write_bytes(name.encode() * 20)
    sums = {path.name: sha256_file(path) for path in tmp_path.iterdir()}
    (tmp_path / "check.json").write_bytes(sealed_json({"files": sums, "check": asdict(CHECK)}))
    return file


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "check.json"])
def test_a_flipped_bit_of_an_engines_file_is_noticed(name, engine_file):
    assert engine_file.check() == CHECK
    for place in flips(engine_file.folder / name):
        assert engine_file.check() is None, place
    assert engine_file.check() == CHECK


def test_a_missing_part_of_an_engines_file_is_noticed(engine_file):
    (engine_file.folder / "model.bin").unlink()
    assert engine_file.check() is None


def test_a_flipped_bit_of_sealed_bytes_is_noticed(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(sealed(bytes(range(100))))
    for place in flips(path):
        assert unsealed(path.read_bytes()) is None, place
    assert unsealed(path.read_bytes()) == bytes(range(100))
