"""Which origins `bff check` knows to be on another site than the proxy."""

import pytest

from bff.config.settings import load_settings
from bff.config.sites import another_site, site_warnings
from tests.live import new_key


@pytest.mark.parametrize(
    ("one", "other", "another"),
    [
        ("http://localhost:3000", "http://localhost:8080", False),
        ("http://localhost:3000", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:3000", "http://127.0.0.1:8080", False),
        ("http://127.0.0.1:3000", "http://127.0.0.2:3000", True),
        ("http://10.0.0.1", "http://11.0.0.1", True),
        ("http://[::1]:3000", "http://[::1]:8080", False),
        ("http://[::1]:3000", "http://127.0.0.1:8080", True),
        ("http://a.localhost:3000", "http://localhost:8080", True),
        ("https://shop.example", "https://api.shop.example", False),
        ("https://www.shop.example:8443", "https://api.shop.example", False),
        ("https://shop.example", "https://shop.example.", False),
        ("http://shop.example", "https://shop.example", True),
        ("https://shop.example", "https://pages.example", True),
        ("https://shop.co.example", "https://other.co.example", False),
    ],
)
def test_only_what_is_certainly_another_site_is_one(one: str, other: str, *, another: bool) -> None:
    assert another_site(one, other) is another
    assert another_site(other, one) is another


@pytest.mark.parametrize(("same_site", "warned"), [("strict", 1), ("lax", 1), ("none", 0)])
def test_each_allowed_origin_on_another_site_is_warned_of(same_site: str, warned: int) -> None:
    settings = load_settings(
        {
            "BFF_TENANT": "acmeshop",
            "BFF_CLIENT_ID": "client",
            "BFF_PUBLIC_ORIGIN": "https://api.shop.example",
            "BFF_ALLOWED_ORIGINS": "https://www.shop.example, https://pages.example",
            "BFF_KEYS": new_key(),
            "BFF_REDIS_URL": "redis://redis.internal",
            "BFF_COOKIE_SAMESITE": same_site,
        }
    )
    warnings = site_warnings(settings)
    assert len(warnings) == warned
    assert all("https://pages.example" in one and "BFF_COOKIE_SAMESITE=none" in one for one in warnings)
