"""Runs whose items are graphs, and runs that predict numbers, have a data page too."""

import numpy as np
import pytest

import striate
from striate.cli.explore import _opened
from striate.errors import ArgumentError
from striate.explorer.data.session import DataSession
from striate.explorer.numbers import unpacked


@pytest.fixture(scope="module")
def molecules(tmp_path_factory, own_cache):
    """A run that predicts a number of made molecules: their count of carbon atoms."""
    pytest.importorskip("rdkit")
    table = tmp_path_factory.mktemp("data") / "molecules.csv"
    smiles = ["C" * n + end for n in range(1, 17) for end in ("O", "N", "=O")]
    rows = [f"{text},{text.count('C')}" for text in smiles]
    table.write_text("\n".join(["smiles,target", *rows]))
    out = tmp_path_factory.mktemp("runs") / "molecules"
    return striate.fit(table, out=out, method="scratch", epochs=1, device="cpu")


@pytest.mark.slow
def test_a_run_on_graphs_has_its_data_alone(molecules):
    network, data = _opened(str(molecules.folder.path), None, [], None, None)
    assert network is None and data.about()["network"] is False
    assert data.job.wait(60) is not None, data.job.state()
    with pytest.raises(ArgumentError, match=r"are (graphs|molecules)"):
        _opened(str(molecules.folder.path), None, [molecules.folder.path], None, None)


@pytest.mark.slow
def test_a_number_has_its_error_of_predictions_csv(molecules):
    data = DataSession(molecules)
    rows = {row["item"]: row for row in molecules.folder.read_csv("predictions.csv")}
    table = data.table(whole=False)
    columns = {column["key"]: column for column in table["columns"]}
    assert "result" not in columns and "names" not in columns["truth"]
    errors = unpacked(columns["error"]["numbers"])
    for name, error in zip(table["names"], errors, strict=True):
        if name in rows:
            off = abs(float(rows[name]["target"]) - float(rows[name]["prediction"]))
            assert error == pytest.approx(off, rel=1e-6)
        else:
            assert np.isnan(error)
    number = table["names"].index(next(iter(rows)))
    row = rows[table["names"][number]]
    assert data.item(number)["interval"] == [row["low"], row["high"]]
    assert data.thumbnail(number) == {"url": None}
