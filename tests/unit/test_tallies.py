"""What is counted with every request reaches the metrics whole, and as if the library had counted it at once."""

import asyncio
import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from bff.telemetry.metrics import REGISTRY, REQUEST_SECONDS, ROUTE_SECONDS, UPSTREAM_SECONDS
from bff.telemetry.tallies import BOUNDS, Count, FlushFirst, TalliedHistogram, Tally, flush
from tests.frozen_time import FrozenLoop, advance, settle

DURATIONS = (0.0, 0.001, 0.005, 0.0051, 0.025, 0.0251, 0.3, 1.0, 9.9, 10.0, 10.1, 1e6, math.inf)
COARSE = (0.025, 0.1, 1.0, 10.0)


@pytest.fixture
def registry() -> CollectorRegistry:
    own = CollectorRegistry()
    own.register(FlushFirst())
    return own


def histogram_samples(registry: CollectorRegistry, name: str) -> Iterator[tuple[str, str, float]]:
    for metric in registry.collect():
        for one in metric.samples:
            if one.name.startswith(name) and not one.name.endswith("_created"):
                yield one.name.removeprefix(name), one.labels.get("le", ""), one.value


@pytest.mark.parametrize("buckets", [BOUNDS, COARSE])
@pytest.mark.parametrize("durations", [DURATIONS, DURATIONS[3:4], ()])
def test_durations_are_in_the_buckets_where_the_library_puts_them(
    registry: CollectorRegistry, buckets: tuple[float, ...], durations: tuple[float, ...]
) -> None:
    usual = Histogram("usual", "x", buckets=buckets, registry=registry)
    tallied = TalliedHistogram("tallied", "x", buckets=buckets, registry=registry)
    tally = Tally(Counter("number", "x", registry=registry), tallied)
    for seconds in durations:
        usual.observe(seconds)
        tally.add(seconds)
    assert list(histogram_samples(registry, "tallied")) == list(histogram_samples(registry, "usual"))
    assert registry.get_sample_value("number_total") == len(durations)


@pytest.mark.parametrize("histogram", [REQUEST_SECONDS, ROUTE_SECONDS, UPSTREAM_SECONDS])
def test_the_bounds_of_what_is_tallied_can_be_told_apart(histogram: TalliedHistogram) -> None:
    assert set(histogram._upper_bounds) <= set(BOUNDS)


def test_every_count_is_told_once(registry: CollectorRegistry) -> None:
    count = Count(Counter("often", "x", registry=registry))
    tally = Tally(Counter("timed", "x", registry=registry))
    for round_ in range(1, 4):
        for _ in range(5):
            count.add()
            tally.add(0.1)
        for _ in range(2):
            assert registry.get_sample_value("often_total") == 5 * round_
            assert registry.get_sample_value("timed_total") == 5 * round_


def test_another_worker_is_told_without_a_reader_here() -> None:
    async def run() -> None:
        counter, often = (
            Counter("timed_by_itself", "x", registry=None),
            Counter("by_itself", "x", registry=None),
        )
        tally, count = Tally(counter), Count(often)
        for round_ in (1, 2):
            tally.add(0.1)
            count.add()
            count.add()
            assert counter._value.get() == round_ - 1
            advance(1)
            await settle()
            assert (counter._value.get(), often._value.get()) == (round_, 2 * round_)

    flush()
    with asyncio.Runner(loop_factory=FrozenLoop) as runner:
        runner.run(run())


def test_what_nobody_has_any_more_is_told_too(registry: CollectorRegistry) -> None:
    counter = Counter("forgotten", "x", registry=registry)
    Tally(counter).add(0.1)
    assert registry.get_sample_value("forgotten_total") == 1


def test_the_metrics_of_the_proxy_are_brought_up_to_date_by_reading_them() -> None:
    flush()
    labels = {"key": "newest"}
    before = REGISTRY.get_sample_value("bff_keys_opened_total", labels) or 0.0
    from bff.middleware import carriers  # noqa: PLC0415 - it has the count

    carriers._NEWEST()
    assert REGISTRY.get_sample_value("bff_keys_opened_total", labels) == before + 1
