"""Spans on their way to a collector: what it gets, what it costs where it is away, and nothing where none is named."""

import json
import logging
import socket
import subprocess
import sys
import threading
from importlib import metadata

import pytest

from bff import __version__
from bff.config.settings import ConfigurationError, load_settings
from bff.telemetry import spans
from bff.telemetry.traces import OtlpExporter, Traces
from tests.collector import attributes_of, collecting
from tests.live import free_port
from tests.support import new_keys, new_replica, until

_STARTED = """
import asyncio, json, sys
from bff.app import Proxy
from bff.config.settings import load_settings

async def main():
    proxy = Proxy(load_settings(json.loads(sys.argv[1])))
    async with proxy._closing(None):
        wanted = ("bff.telemetry.traces", "opentelemetry.exporter")
        print(json.dumps([name for name in sys.modules if name.startswith(wanted)]))

asyncio.run(main())
"""


def send(collector: str, *names: str) -> None:
    traces = Traces(OtlpExporter(collector))
    for name in names:
        with spans.step(name):
            pass
    traces.stop(10)


def settings(**more: str) -> dict[str, str]:
    return {
        "BFF_TENANT": "acmeshop",
        "BFF_CLIENT_ID": "storefront",
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": new_keys(),
        "BFF_REDIS_URL": "redis://127.0.0.1:1",
        **more,
    }


def recording_modules(**more: str) -> list[str]:
    """Return what a started proxy has imported to record; the Redis client imports the library's API by itself."""
    command = [sys.executable, "-c", _STARTED, json.dumps(settings(**more))]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(ended.stdout))


def test_what_is_left_is_sent_at_the_end() -> None:
    with collecting() as collector:
        send(collector.url, "one", "other")
    assert [span.name for span in collector.spans()] == ["one", "other"]
    (sender,) = (attributes_of(one.resource) for one in collector.resources())
    assert (sender["service.name"], sender["service.version"]) == ("emporix-bff", __version__)


def test_after_the_end_nothing_is_recorded() -> None:
    with collecting() as collector:
        send(collector.url)
        with spans.step("late"):
            pass
    assert collector.bodies == []


def test_a_collector_that_takes_nothing_is_told_of_once_and_so_is_its_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "bff.telemetry.traces")
    with collecting() as collector:
        exporter = OtlpExporter(collector.url)
        for status in (200, 503, 503, 200, 200):
            collector.status = status
            exporter.export(())
    said = [(record.message, getattr(record, "fields", {})) for record in caplog.records]
    assert said == [("traces_not_sent", {"reason": "503"}), ("traces_sent", {})]


def test_a_collector_that_is_away_loses_spans_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    send(f"http://127.0.0.1:{free_port()}", "lost")
    (record,) = caplog.records
    assert (record.message, record.levelname) == ("traces_not_sent", "ERROR")
    assert vars(record)["fields"] == {"reason": "ConnectionRefusedError"}


def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = Traces(OtlpExporter(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=60))
        with spans.step("lost"):
            pass
        ending = threading.Thread(target=traces.stop, args=(0.1,), daemon=True)
        ending.start()
        ending.join(30)
        assert not ending.is_alive()


@pytest.mark.anyio
async def test_a_proxy_records_from_its_start_to_its_end(redis_url: str) -> None:
    with collecting() as collector:
        async with new_replica(redis_url, traces=collector.url) as one:
            async with one.proxy._closing(None):
                await one.guest()
            await until(lambda: collector.bodies)
            assert spans.call_span("after the end") is None
    assert "emporix anonymous login" in {span.name for span in collector.spans()}


def test_without_the_setting_what_records_is_not_even_imported() -> None:
    assert recording_modules() == []
    assert "bff.telemetry.traces" in recording_modules(BFF_TRACES="http://127.0.0.1:1")


def test_without_the_extra_the_setting_is_a_mistake_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(settings(BFF_TRACES="http://collector:4318", BFF_LOG_LEVEL="loud"))
    assert len(caught.value.mistakes) == 2
    (mistake,) = [one for one in caught.value.mistakes if "BFF_TRACES" in one]
    assert "emporix-bff[otel]" in mistake
