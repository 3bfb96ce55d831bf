"""`striate pack`: lines, JSON, and what it refuses."""

import json


def test_packed_and_read(call, refused, photos, tmp_path):
    out = tmp_path / "shards"
    code, said, _ = call("pack", photos, "--out", out, "--shard-size", 0.2)
    assert code == 0 and said.startswith("60 items in ") and said.endswith(f"MB: {out}\n")
    code, said, _ = call("pack", photos, "--out", tmp_path / "other", "--json")
    document = json.loads(said)
    assert document["items"] == 60 and [s["items"] for s in document["shards"]] == [60]
    assert "there are shards already" in refused("pack", photos, "--out", out)
    assert "did you mean" in refused("pack", photos, "--out", tmp_path / "x", "--kind", "imag")
    inside = photos / "disc"
    assert "is a folder of the data" in refused("pack", photos, "--out", inside)
