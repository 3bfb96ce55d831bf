"""Files behind opaque ids: no path that a client could send leads anywhere."""

import os

import pytest

from striate.web.roots import RootedFiles


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "sub" / "a.png").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    return tmp_path / "root"


def test_a_file_is_read_by_its_id(root):
    files = RootedFiles(root)
    name = files.add(root / "sub" / "a.png")
    assert files.read(name, 100) == b"inside"
    assert files.add(root / "sub" / ".." / "sub" / "a.png") == name
    assert "a.png" not in name and len(name) > 20


@pytest.mark.parametrize(
    "name",
    [
        "sub/a.png", "../secret", "..%2fsecret", "%2e%2e/secret", "%252e%252e%252fsecret",
        "sub/../../secret", "/etc/passwd", "C:\\Windows", "C:/Windows", "\\\\host\\share",
        "a.png\0", "\0", "", ".", "..", "....//secret", "file:///etc/passwd", "a" * 10_000,
    ],
)  # fmt: skip
def test_a_path_is_no_id(root, name):
    files = RootedFiles(root)
    files.add(root / "sub" / "a.png")
    with pytest.raises(KeyError):
        files.read(name, 100)


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "sub/../../secret", "no", "a\0b", "sub/link"]
)
def test_what_lies_outside_is_not_added(root, path):
    (root / "sub" / "link").symlink_to(root.parent / "secret")
    with pytest.raises(KeyError):
        RootedFiles(root).add(root / path)


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "folder", "gone", "large"])
def test_what_was_swapped_since_is_not_read(root, kind):
    files = RootedFiles(root)
    path = root / "sub" / "a.png"
    name = files.add(path)
    if kind == "folder link":
        (root.parent / "other").mkdir()
        (root.parent / "other" / "a.png").write_bytes(b"outside")
        (root / "sub").rename(root / "moved")
        (root / "sub").symlink_to(root.parent / "other")
    else:
        path.unlink()
        if kind == "link":
            path.symlink_to(root.parent / "secret")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "large":
            path.write_bytes(bytes(101))
    with pytest.raises(KeyError):
        files.read(name, 100)


def test_a_link_inside_that_replaces_a_file_leads_nowhere_either(root):
    files = RootedFiles(root)
    path = root / "sub" / "a.png"
    name = files.add(path)
    path.rename(root / "sub" / "b.png")
    path.symlink_to(root / "sub" / "b.png")
    with pytest.raises(KeyError):
        files.read(name, 100)
