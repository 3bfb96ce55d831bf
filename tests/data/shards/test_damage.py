"""Damaged shards: every flipped bit, missing file and further byte is told."""

import random
import shutil

import pytest

from striate.data.layouts import open_source
from striate.data.source import UnreadableItem
from striate.errors import DataError


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_fault_64_one_flipped_bit_is_told_wherever_it_is(packed, tmp_path):
    """60 bits, in every file of the shards: in a line that names the file."""
    rng = random.Random(0)
    files = sorted(path for path in packed.folder.iterdir() if path.suffix in (".tar", ".json"))
    before = {path: path.read_bytes() for path in files}
    for number in range(60):
        path = files[number % len(files)]
        flip(path, rng.randrange(8 * len(before[path])))
        try:
            try:
                told = [note.message for note in open_source(packed.folder).damage()]
            except DataError as error:
                told = [str(error)]
            assert len(told) == 1 and path.name in told[0] and "damaged" in told[0], path
        finally:
            path.write_bytes(before[path])


def test_an_item_with_a_flipped_bit_is_not_read(shards, readings):
    source = open_source(shards)
    item = source.listing.items[0]
    place = source._places[item.id]
    shard = source.index.shards[place.shard]
    flip(shards / shard.name, 8 * (place.offset + place.size - 1))
    reason = f"{shards / shard.name} is damaged: the SHA-256 of this item is another"
    assert readings(source)[item.id] == reason
    with pytest.raises(UnreadableItem, match="is damaged"):
        source.isolated(item)
    (shards / shard.name).write_bytes(b"")
    assert readings(source)[item.id] == reason


def test_a_shard_that_is_gone_or_longer(shards):
    first, second = sorted(shards.glob("*.tar"))[:2]
    with first.open("ab") as file:
        file.write(b"more")
    assert [first.name in note.message for note in open_source(shards).damage()] == [True]
    second.unlink()
    item = open_source(shards).listing.items[-1]
    (shards / "shard-000000.json").unlink()
    with pytest.raises(DataError, match=r"cannot read .*shard-000000.json: file not found"):
        open_source(shards)
    assert item.id == "23.png"


def test_a_bit_flipped_where_an_index_begins_is_noticed(packed, tmp_path):
    folder = shutil.copytree(packed.folder, tmp_path / "shards")
    content = bytearray((folder / "index.json").read_bytes())
    place = content.index(b"wids_version")
    content[place] ^= 4
    (folder / "index.json").write_bytes(content)
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        open_source(str(folder))
