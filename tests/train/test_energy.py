"""The energy of the processors, by counters that are made up."""

import pytest

from striate.train.energy import EnergyMeter


def write(root, zone, energy, *, name="package-0", span=10**9):
    folder = root / zone
    folder.mkdir(exist_ok=True)
    (folder / "name").write_text(name + "\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{span - 1}\n")


def test_packages_are_added_and_counters_may_begin_anew(tmp_path):
    now = [0.0]
    write(tmp_path, "intel-rapl:0", 1_000_000)
    write(tmp_path, "intel-rapl:1", 999_000_000)
    write(tmp_path, "intel-rapl:0:0", 5, name="core")
    write(tmp_path, "intel-rapl:2", 5, name="psys")
    meter = EnergyMeter(tmp_path, lambda: now[0])
    now[0] = 1.5
    write(tmp_path, "intel-rapl:0", 31_000_000)
    write(tmp_path, "intel-rapl:1", 1_000_000)
    write(tmp_path, "intel-rapl:0:0", 500_000_000, name="core")
    write(tmp_path, "intel-rapl:2", 500_000_000, name="psys")
    assert meter.joules() == pytest.approx(30 + 2)
    now[0] = 3.0  # at 500 W a counter of 1,000 J may have begun anew twice
    assert meter.joules() is None


def test_what_cannot_be_read_is_not_stated(tmp_path):
    assert EnergyMeter(tmp_path).joules() is None
    write(tmp_path, "intel-rapl:0", 1)
    meter = EnergyMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("")
    assert meter.joules() is None
