"""What a process says of itself and of its keys."""

import re
import resource

import pytest

from bff import __version__
from bff.telemetry.metrics import REGISTRY
from bff.telemetry.process import KeyMetrics, creation_of, dated_kid, note_load, note_start


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_a_process_says_what_it_takes_and_which_version_it_is() -> None:
    note_start()
    assert sample("bff_workers") == 1
    assert (sample("bff_process_cpu_seconds") or 0) > 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 1 << 20 < (sample("bff_process_resident_memory_bytes") or 0) < 1.1 * most
    assert (sample("bff_process_open_fds") or 0) >= 3
    assert sample("bff_process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert (sample("bff_process_start_timestamp_seconds") or 0) > 1_700_000_000
    (build,) = [
        one for metric in REGISTRY.collect() for one in metric.samples if one.name == "bff_build_info"
    ]
    assert (build.labels["version"], build.value) == (__version__, 1)


def test_what_is_under_way_is_the_latest_count() -> None:
    for requests, connections in ((3, 7), (1, 2)):
        note_load(requests, connections)
        assert (sample("bff_requests_in_flight"), sample("bff_connections")) == (requests, connections)


def test_keys_have_their_places_and_a_removed_one_has_none() -> None:
    def places() -> list[float | None]:
        return [sample("bff_key_place", kid=kid) for kid in ("unit-a", "unit-b", "unit-c")]

    metrics = KeyMetrics()
    metrics.show(["unit-a", "unit-b"])
    assert places() == [1, 2, None]
    metrics.show(["unit-c", "unit-a"])
    assert places() == [2, 0, 1]


def test_a_new_keys_id_says_when_it_was_made() -> None:
    kid = dated_kid("0a1b2c")
    assert re.fullmatch(r"k\d{8}-0a1b2c", kid)
    assert len(kid) <= 16, "longer than a key id may be"
    assert creation_of(kid) is not None
    assert creation_of("k20261126-0a1b2c") == 1_795_651_200
    KeyMetrics().show([kid])
    assert sample("bff_key_created_timestamp_seconds", kid=kid) == creation_of(kid)


@pytest.mark.parametrize("kid", ["k1", "k20261126", "k20261301-aa", "20261126-aa", "k2026112-aa"])
def test_an_id_without_a_day_has_no_age(kid: str) -> None:
    KeyMetrics().show([kid])
    assert sample("bff_key_created_timestamp_seconds", kid=kid) is None
