"""Whose certificates upstream may have."""

import ssl

import pytest

from bff.upstream.trust import upstream_trust


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_certificate_is_checked_and_must_name_the_host(scheme: str) -> None:
    trust = upstream_trust(f"{scheme}://upstream.test")
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.skipif(
    ssl.get_default_verify_paths().cafile is None, reason="this system keeps its trust in another way"
)
def test_the_systems_trust_decides() -> None:
    assert upstream_trust("https://upstream.test").cert_store_stats()["x509_ca"] > 0


def test_the_systems_trust_is_not_read_where_there_is_no_tls() -> None:
    assert upstream_trust("http://upstream.test").cert_store_stats()["x509"] == 0
