"""A file of keys that is changed is noticed once, and only when it is whole."""

import os
from pathlib import Path

import pytest

from bff.config.settings_files import SettingsFiles


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("first")
    return path


@pytest.fixture
def files(keys: Path) -> SettingsFiles:
    return SettingsFiles({"BFF_KEYS_FILE": str(keys), "BFF_REDIS_URL": "redis://127.0.0.1"})


def looks(files: SettingsFiles, count: int = 4) -> list[bool]:
    return [files.changed() for _ in range(count)]


def test_the_route_file_is_watched_too(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text("[routes]")
    files = SettingsFiles({"BFF_KEYS": "k:x", "BFF_ROUTES_FILE": str(routes)})
    routes.write_text("[routes]\n")
    assert looks(files) == [False, True, False, False]


def test_a_file_that_stays_has_not_changed(files: SettingsFiles) -> None:
    assert looks(files) == [False] * 4


def test_a_change_is_noticed_once_and_not_before_it_is_over(keys: Path, files: SettingsFiles) -> None:
    keys.write_text("first half")
    assert not files.changed()
    keys.write_text("first half, second half")
    assert looks(files) == [False, True, False, False]


def test_another_file_in_its_place_is_noticed_whatever_its_size_and_time(
    keys: Path, files: SettingsFiles
) -> None:
    other = keys.with_name("other")
    other.write_text("other")
    os.utime(other, ns=(keys.stat().st_atime_ns, keys.stat().st_mtime_ns))
    other.replace(keys)
    assert looks(files) == [False, True, False, False]


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "url").write_text(folder)
    (tmp_path / "data").symlink_to("one")
    files = SettingsFiles({"BFF_REDIS_URL_FILE": str(tmp_path / "data" / "url")})
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    assert looks(files) == [False, True, False, False]


def test_a_file_that_is_gone_has_changed_and_so_has_one_that_is_back(
    keys: Path, files: SettingsFiles
) -> None:
    keys.unlink()
    assert looks(files) == [False, True, False, False]
    keys.write_text("again")
    assert looks(files) == [False, True, False, False]


def test_what_is_about_to_be_read_is_no_change(keys: Path, files: SettingsFiles) -> None:
    keys.write_text("second")
    files.note()
    assert looks(files) == [False] * 4


def test_what_can_be_read_once_only_is_not_watched(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    files = SettingsFiles({"BFF_KEYS_FILE": str(tmp_path / "pipe")})
    os.utime(tmp_path / "pipe")
    assert looks(files) == [False] * 4
