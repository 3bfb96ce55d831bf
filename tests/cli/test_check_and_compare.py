"""`striate check` and `striate compare` as a user calls them."""

import json


def test_check(call, photos):
    code, out, _ = call("check", photos)
    assert code == 0
    assert out.startswith("60 items in 3 classes: disc 20, square 20, stripes 20\n")
    code, out, err = call("check", photos, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["items"] == 60


def test_check_of_nothing(refused, tmp_path):
    assert "file not found" in refused("check", tmp_path / "no")


def test_compare(call, probe_run):
    path = probe_run.folder.path
    code, out, err = call("compare", path, path)
    assert (code, err) == (0, "")
    assert "p = 1" in out
    code, out, _ = call("compare", path, path, "--json")
    assert json.loads(out)["p_value"] == 1


def test_compare_writes_a_page(call, probe_run, tmp_path):
    path, page = probe_run.folder.path, tmp_path / "compared.html"
    code, _, err = call("compare", path, path, "--html", page)
    assert (code, err) == (0, "")
    assert "Neither is clearly better" in page.read_text()


def test_a_line_break_in_the_name_of_a_class_breaks_no_line(call, photos, tmp_path):
    for name, shape in (("a\nb", "disc"), ("c", "stripes")):
        (tmp_path / name).mkdir()
        for path in sorted((photos / shape).iterdir())[:4]:
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    code, out, _ = call("check", tmp_path)
    assert code == 0 and "8 items in 2 classes: a\\nb 4, c 4" in out
