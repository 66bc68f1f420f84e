"""Settings are read from the environment; all mistakes are reported at once, and no message holds a secret."""

import base64
import json
import re
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.settings import (
    VARIABLES,
    ConfigurationError,
    KeySpec,
    Rate,
    Settings,
    SsoProvider,
    load_settings,
    state_directory,
)
from bff.security.secret import Secret

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.urlsafe_b64encode(bytes(range(32, 64))).decode().rstrip("=")
IDP = {"authorize_url": "https://idp.example/authorize?tenant=a", "client_id": "shop"}
REQUIRED = {
    "BFF_TENANT": "acmeshop",
    "BFF_CLIENT_ID": "client-1",
    "BFF_PUBLIC_ORIGIN": "https://shop.example",
    "BFF_KEYS": f"k1:{KEY}",
    "BFF_REDIS_URL": "redis://127.0.0.1:6379/0",
}
SSO = json.dumps({"google": IDP})

GOOD: list[tuple[str, str, Any]] = [
    ("BFF_TENANT", "abc", "abc"),
    ("BFF_TENANT", "a" + "0" * 15, "a" + "0" * 15),
    ("BFF_CLIENT_ID", "Ab3.-_~", "Ab3.-_~"),
    ("BFF_UPSTREAM_URL", "https://API.emporix.io:443/", "https://api.emporix.io"),
    ("BFF_UPSTREAM_URL", "http://127.9.9.9:8090", "http://127.9.9.9:8090"),
    ("BFF_PUBLIC_ORIGIN", "HTTPS://Shop.Example:443", "https://shop.example"),
    ("BFF_PUBLIC_ORIGIN", "https://shop.example:8443", "https://shop.example:8443"),
    ("BFF_PUBLIC_ORIGIN", "http://localhost:8080", "http://localhost:8080"),
    ("BFF_PUBLIC_ORIGIN", "http://demo.localhost:80", "http://demo.localhost"),
    ("BFF_PUBLIC_ORIGIN", "http://[0:0::1]:8080", "http://[::1]:8080"),
    (
        "BFF_ALLOWED_ORIGINS",
        "https://B.example:443, http://localhost:3000,,https://b.example,https://shop.example",
        ("https://b.example", "http://localhost:3000"),
    ),
    ("BFF_KEYS", f"k1:{KEY}", (KeySpec("k1", bytes(range(32))),)),
    (
        "BFF_KEYS",
        f" new_-9:{OTHER_KEY} , k1:{KEY}",
        (KeySpec("new_-9", bytes(range(32, 64))), KeySpec("k1", bytes(range(32)))),
    ),
    *(
        ("BFF_REDIS_URL", url, Secret(url))
        for url in (
            "redis://cache",
            "redis://user:p%40ss@cache_1:6380/3?protocol=3",
            "redis://:p@ss@cache",
            "rediss://cache.example:6380",
            "redis://[::1]:6379",
            "unix:///run/redis/redis.sock",
            "unix://user:pw@/run/redis.sock?db=1",
            "redis+sentinel://:pw@s1:26379,s2,[::1]:26379/mymaster/0",
            "redis+cluster://c1:7000,c2:7001",
            "rediss+cluster://user:pw@c1:7000?protocol=3&client_name=shop",
            "rediss+sentinel://s1/main?sentinel_username=watch&sentinel_password=p%26w&ssl_check_hostname=no",
            f"rediss://cache?db=2&ssl_ca_certs={__file__}&ssl_certfile={__file__}&ssl_keyfile={__file__}",
            "embedded:/var/lib/bff",
        )
    ),
    (
        "BFF_TRUSTED_PROXIES",
        "10.0.0.0/8, 192.0.2.7,2001:db8::/32",
        (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"), ip_network("2001:db8::/32")),
    ),
    ("BFF_ADMIN_PORT", "9090", 9090),
    ("BFF_ADMIN_HOST", "10.0.0.7", "10.0.0.7"),
    ("BFF_ADMIN_HOST", "0:0:0:0:0:0:0:1", "::1"),
    ("BFF_GUEST_IDLE_SECONDS", "60", 60),
    ("BFF_CUSTOMER_IDLE_SECONDS", "120", 120),
    ("BFF_GUEST_MAX_SECONDS", "90000", 90000),
    ("BFF_CUSTOMER_MAX_SECONDS", "1209600", 1209600),
    ("BFF_REFRESH_SKEW_SECONDS", "0", 0),
    ("BFF_COOKIE_SAMESITE", "Lax", "lax"),
    ("BFF_COOKIE_SAMESITE", "none", "none"),
    ("BFF_SITE_CODE", "main", "main"),
    ("BFF_SSO", SSO, {"google": SsoProvider(IDP["authorize_url"], "shop")}),
    (
        "BFF_SSO",
        json.dumps({"a": IDP | {"scope": "openid", "config": "c"}, "b-2": IDP | {"scope": None}}),
        {
            "a": SsoProvider(IDP["authorize_url"], "shop", "openid", "c"),
            "b-2": SsoProvider(IDP["authorize_url"], "shop"),
        },
    ),
    (
        "BFF_SSO",
        json.dumps({"a": IDP | {"authorize_url": "http://localhost:1/x"}}),
        {"a": SsoProvider("http://localhost:1/x", "shop")},
    ),
    ("BFF_SSO", "{}", {}),
    *(("BFF_DROP_IN", text, True) for text in ("true", "1", "YES", "On")),
    *(("BFF_DROP_IN", text, False) for text in ("False", "0", "no", "OFF")),
    *(("BFF_KEEP_CONTEXT", text, True) for text in ("true", "1", "YES", "On")),
    *(("BFF_KEEP_CONTEXT", text, False) for text in ("False", "0", "no", "OFF")),
    *(("BFF_ASSISTED", text, True) for text in ("true", "1", "YES", "On")),
    *(("BFF_ASSISTED", text, False) for text in ("False", "0", "no", "OFF")),
    ("BFF_ROUTES_FILE", __file__, Path(__file__)),
    ("BFF_LOGIN_RATE", "3/10", Rate(3, 10)),
    ("BFF_GUEST_RATE", "1000/1", Rate(1000, 1)),
    ("BFF_ACCOUNT_RATE", "5/600", Rate(5, 600)),
    ("BFF_REFRESH_RATE", "6/600", Rate(6, 600)),
    ("BFF_CLIENT_STREAMS", "1", 1),
    ("BFF_CLIENT_CONNECTIONS", "1", 1),
    ("BFF_SESSION_CACHE", "0", 0),
    ("BFF_SESSION_CACHE", "65536", 65_536),
    ("BFF_SESSION_SCHEMA", "1", 1),
    ("BFF_MAX_BODY_BYTES", "1024", 1024),
    ("BFF_DRAIN_SECONDS", "0", 0.0),
    ("BFF_DRAIN_SECONDS", "2.5", 2.5),
    ("BFF_GRACE_SECONDS", "1", 1),
    ("BFF_LOG_LEVEL", "debug", "debug"),
    ("BFF_LOG_ACCOUNTS", "plain", "plain"),
    ("BFF_TRACES", "http://Collector:4318/", "http://collector:4318"),
    ("BFF_TRACES", "https://collector.example:443", "https://collector.example"),
]

INVALID_ORIGINS = [
    "shop.example",
    "http://shop.example",
    "http://127.0.0.1.example",
    "http://localhost.example",
    "http://127.1",
    "ftp://shop.example",
    "https://user@shop.example",
    "https://user:hidden@shop.example",
    "https://shop.example/path",
    "https://shop.example//",
    "https://shop.example?q",
    "https://shop.example#f",
    "https://shop.example:0",
    "https://shop.example:65536",
    "https://shop.example:",
    "https://-shop.example",
    "https://shop..example",
    "https://1.2.3.400",
    "https://[::g]",
    "https://[1::2::3]",
    "https://sh\u00f6p.example",
    "https://\u212aelvin.example",
    "https://shop.example\n",
    " https://shop.example",
]
INVALID_NUMBERS = ["-1", "1.5", "1e3", "1_000", " 1", "\u0661", "nan", "0x10", "9" * 400, "x"]
WRONG: dict[str, list[str]] = {
    "BFF_TENANT": ["ab", "a" * 17, "Acme", "1abc", "ac-me", "acme\n"],
    "BFF_CLIENT_ID": ["a b", "a" * 129, "caf\u00e9", "a\n"],
    "BFF_UPSTREAM_URL": INVALID_ORIGINS,
    "BFF_PUBLIC_ORIGIN": INVALID_ORIGINS,
    "BFF_ALLOWED_ORIGINS": ["*", "null", "https://a.example,*", "https://*.example", *INVALID_ORIGINS[:-2]],
    "BFF_KEYS": [
        ",",
        KEY,
        f":{KEY}",
        f"k1:{KEY[:-2]}",
        f"k1:{KEY}AAAA",
        f"k1:{'+' * 43}",
        f"{'k' * 17}:{KEY}",
        f"k.1:{KEY}",
        f"k1:{KEY},k1:{OTHER_KEY}",
        f"k1:{KEY},k2:{KEY}",
        f"k1:{'A' * 43}",
        f"k1:{base64.urlsafe_b64encode(b'x' * 32).decode()}",
    ],
    "BFF_REDIS_URL": [
        "localhost:6379",
        "http://cache",
        "redis://",
        "redis:///0",
        "redis://a,b",
        "redis://cache:0",
        "redis://cache:65536",
        "redis://cache/zero",
        "redis://cache#x",
        "redis://:hid/den@cache:6379/0",
        "redis://:hid?den@cache",
        "redis://ca che",
        "redis://cache/0\n",
        "rediss://user@",
        "unix://run/redis.sock",
        "unix://",
        "redis+sentinel:///mymaster",
        "redis+sentinel://s1,/mymaster",
        "redis+cluster://c1:x",
        "redis+cluster://c1/1",
        "redis+cluster://c1?db=1",
        "redis+cluster://c1?sentinel_password=hidden",
        "redis+sentinel://s1/main?ssl_ca_certs=/hidden",
        "rediss://cache?ssl_ca_certs=/hidden",
        "rediss://cache?ssl_cert_reqs=none",
        "redis://cache?socket_timeout=60",
        "redis://cache?protocol=4",
        "redis://cache?db=1&db=2",
        "redis://cache?ssl_check_hostname=yes",
        "redis://cache?hid%20den",
        "unix:///run/redis.sock?sentinel_username=hidden",
        "memory://",
        "embedded:/a\nb",
    ],
    "BFF_TRUSTED_PROXIES": ["10.0.0.1/8", "10.0.0.0/33", "proxy", "*", "10.0.0.0/8;10.1.0.0/16"],
    "BFF_ADMIN_HOST": ["localhost", "127.0.0.1:9090", "10.0.0.0/8", "[::1]", "x"],
    "BFF_ADMIN_PORT": ["0", "65536", *INVALID_NUMBERS],
    "BFF_GUEST_IDLE_SECONDS": ["0", "316224001", *INVALID_NUMBERS],
    "BFF_CUSTOMER_IDLE_SECONDS": ["0", "316224001", *INVALID_NUMBERS],
    "BFF_GUEST_MAX_SECONDS": ["0", "316224001", *INVALID_NUMBERS],
    "BFF_CUSTOMER_MAX_SECONDS": ["0", "316224001", *INVALID_NUMBERS],
    "BFF_REFRESH_SKEW_SECONDS": ["3601", *INVALID_NUMBERS],
    "BFF_COOKIE_SAMESITE": ["Strict;", "off"],
    "BFF_SITE_CODE": ["my site", "a\tb"],
    "BFF_SSO": [
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"a": {}, "a": {}}',
        json.dumps({"a": IDP})[:-2] + ', "client_id": "twice"}}',
        json.dumps({"A": IDP}),
        json.dumps({"-a": IDP}),
        json.dumps({"a" * 33: IDP}),
        json.dumps({"": IDP}),
        json.dumps({"a": 1}),
        json.dumps({"a": {"client_id": "x"}}),
        json.dumps({"a": {"authorize_url": "https://idp.example"}}),
        json.dumps({"a": IDP | {"client_secret": "hidden"}}),
        json.dumps({"a": IDP | {"client_id": ""}}),
        json.dumps({"a": IDP | {"client_id": 7}}),
        json.dumps({"a": IDP | {"scope": ["openid"]}}),
        json.dumps({"a": IDP | {"config": " "}}),
        json.dumps({"a": IDP | {"authorize_url": "http://idp.example"}}),
        json.dumps({"a": IDP | {"authorize_url": "https://u:p@idp.example"}}),
        json.dumps({"a": IDP | {"authorize_url": "https://idp.example/#f"}}),
        json.dumps({"a": IDP | {"authorize_url": "https://idp.example/a b"}}),
        json.dumps({"a": IDP | {"authorize_url": "javascript:alert(1)"}}),
    ],
    "BFF_DROP_IN": ["maybe", "2", "truee"],
    "BFF_ASSISTED": ["maybe", "2", "truee"],
    "BFF_KEEP_CONTEXT": ["maybe", "2", "truee"],
    "BFF_ROUTES_FILE": ["/does/not/exist", "/", "a\0b"],
    "BFF_LOGIN_RATE": ["10", "0/60", "10/0", "10/86401", "10/60/1", "-1/60", "1.5/60", "10 / 60"],
    "BFF_GUEST_RATE": ["60", "0/60", "60/0", "x/y"],
    "BFF_ACCOUNT_RATE": ["30", "0/60", "30/0", "x/y"],
    "BFF_REFRESH_RATE": ["120", "0/60", "120/0", "x/y"],
    "BFF_CLIENT_STREAMS": ["0", "1048577", *INVALID_NUMBERS],
    "BFF_SESSION_SCHEMA": ["0", "3", *INVALID_NUMBERS],
    "BFF_CLIENT_CONNECTIONS": ["0", "1048577", *INVALID_NUMBERS],
    "BFF_SESSION_CACHE": ["65537", *INVALID_NUMBERS],
    "BFF_MAX_BODY_BYTES": ["1023", "1099511627777", *INVALID_NUMBERS],
    "BFF_GRACE_SECONDS": ["0", "601", "2.5", "-1", "x"],
    "BFF_DRAIN_SECONDS": ["300.1", "-1", "inf", "nan", "1e1", "1_0", ".5", "x"],
    "BFF_LOG_LEVEL": ["trace", "warn", "20"],
    "BFF_LOG_ACCOUNTS": ["true", "none"],
    "BFF_TRACES": [
        "true",
        "collector:4318",
        "grpc://collector:4317",
        "http://collector:4318/v1/traces",
        "http://u:p@c",
    ],
}
DEFAULTS: dict[str, Any] = {
    "upstream_url": "https://api.emporix.io",
    "allowed_origins": (),
    "session_cache": 32,
    "trusted_proxies": (),
    "admin_port": None,
    "admin_host": "127.0.0.1",
    "guest_idle_seconds": 86400,
    "customer_idle_seconds": 1209600,
    "guest_max_seconds": 604800,
    "customer_max_seconds": 7776000,
    "refresh_skew_seconds": 60,
    "cookie_samesite": "strict",
    "site_code": None,
    "sso": {},
    "keep_context": True,
    "drop_in": False,
    "assisted": False,
    "routes_file": None,
    "login_rate": Rate(10, 60),
    "guest_rate": Rate(60, 60),
    "account_rate": Rate(30, 60),
    "refresh_rate": Rate(120, 60),
    "max_body_bytes": 10485760,
    "drain_seconds": 5.0,
    "grace_seconds": 25,
    "log_level": "info",
    "log_accounts": "digest",
    "traces": None,
}


def mistakes(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.mistakes


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_value_takes_effect(name: str, text: str, value: Any) -> None:
    settings = load_settings(REQUIRED | {name: text})
    assert getattr(settings, name.removeprefix("BFF_").lower()) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in WRONG for text in WRONG[name]])
def test_wrong_value_is_one_mistake_that_names_its_variable(name: str, text: str) -> None:
    (mistake,) = mistakes(REQUIRED | {name: text})
    assert mistake.startswith(f"{name}: ")
    assert "expected" in mistake
    assert mistake.isprintable()
    assert len(mistake) < 400
    assert "hid" not in mistake


def test_every_variable_has_good_and_wrong_values_here() -> None:
    names = [variable.name for variable in VARIABLES]
    assert {name for name, _, _ in GOOD} == set(names)
    assert set(WRONG) == set(names)
    assert len(set(names)) == len(names) == len(Settings.__dataclass_fields__)
    assert {variable.field for variable in VARIABLES} == set(Settings.__dataclass_fields__)
    assert all(variable.meaning for variable in VARIABLES)


def test_defaults() -> None:
    settings = load_settings(REQUIRED)
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


def test_empty_optional_variable_counts_as_unset() -> None:
    optional = {variable.name: "" for variable in VARIABLES if not variable.required}
    state = {"XDG_STATE_HOME": "/state"}
    bare = {name: text for name, text in REQUIRED.items() if name not in optional}
    assert load_settings(bare | optional | state) == load_settings(bare | state)


@pytest.mark.parametrize("text", [None, ""])
def test_every_missing_required_variable_is_reported_at_once(text: str | None) -> None:
    required = [variable.name for variable in VARIABLES if variable.required]
    found = mistakes({} if text is None else dict.fromkeys(required, text))
    assert [mistake.split()[0] for mistake in found] == required
    assert all("is required" in mistake for mistake in found)
    assert required == ["BFF_TENANT", "BFF_CLIENT_ID", "BFF_PUBLIC_ORIGIN", "BFF_KEYS"]


def test_every_mistake_is_reported_at_once() -> None:
    found = mistakes({name: texts[0] for name, texts in WRONG.items()} | {"BFF_TENNANT": "x"})
    assert [re.split(r"[ :]", mistake)[0] for mistake in found] == [
        *(variable.name for variable in VARIABLES),
        "BFF_TENNANT",
    ]


def test_every_wrong_entry_of_a_list_is_reported() -> None:
    found = mistakes(REQUIRED | {"BFF_ALLOWED_ORIGINS": "*,https://ok.example,null"})
    assert [mistake.split(":")[1] for mistake in found] == [" entry 1", " entry 3"]
    found = mistakes(REQUIRED | {"BFF_SSO": json.dumps({"A": IDP, "b": {}})})
    assert [mistake.split(":")[1] for mistake in found] == [" provider 1", " provider 2", " provider 2"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("BFF_TENNANT", "BFF_TENANT"),
        ("BFF_ROUTES", "BFF_ROUTES_FILE"),
        ("BFF_KEY_FILE", "BFF_KEYS_FILE"),
        ("BFF_TEST_REDIS_URL", "BFF_REDIS_URL"),
    ],
)
def test_unknown_variable_is_a_mistake_with_a_suggestion(name: str, suggestion: str) -> None:
    assert mistakes(REQUIRED | {name: "hidden"}) == (
        f"{name} is not a known variable: did you mean {suggestion}?",
    )


def test_unknown_variable_without_a_similar_one_has_no_suggestion() -> None:
    assert mistakes(REQUIRED | {"BFF_ZZZ": ""}) == ("BFF_ZZZ is not a known variable",)
    load_settings(REQUIRED | {"ZZZ": "", "BFFX": "", "bff_zzz": ""})


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES])
def test_value_from_a_file(name: str, end: str, tmp_path: Path) -> None:
    text, value = next((text, value) for known, text, value in GOOD if known == name)
    (tmp_path / "value").write_text(text + end, newline="")
    environ = {other: known for other, known in REQUIRED.items() if other != name}
    settings = load_settings(environ | {f"{name}_FILE": str(tmp_path / "value"), name: ""})
    assert getattr(settings, name.removeprefix("BFF_").lower()) == value


def test_only_one_newline_at_the_end_of_a_file_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("main\n\n")
    (mistake,) = mistakes(REQUIRED | {"BFF_SITE_CODE_FILE": str(tmp_path / "value")})
    assert mistake.startswith("BFF_SITE_CODE_FILE: expected")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", None])
def test_missing_empty_or_binary_file_is_a_mistake(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "value"
    if content is not None:
        path.write_bytes(content)
    for name in ("BFF_SITE_CODE", "BFF_KEYS", "BFF_SSO"):
        environ = {other: text for other, text in REQUIRED.items() if other != name}
        (mistake,) = mistakes(environ | {f"{name}_FILE": str(path)})
        assert mistake.startswith(f"{name}_FILE: expected a file")


@pytest.mark.parametrize("name", WRONG)
def test_no_message_quotes_a_file(name: str, tmp_path: Path) -> None:
    """With a wrong mount, any of these paths may be the file with the keys."""
    file = tmp_path / "mounted"
    file.write_text("k1:0123456789 not-to-be-seen")
    found = mistakes(
        {one: text for one, text in REQUIRED.items() if one != name} | {f"{name}_FILE": str(file)}
    )
    assert [mistake.startswith(f"{name}_FILE: ") for mistake in found] == [True]
    assert "not-to-be-seen" not in found[0]


def test_setting_both_the_value_and_the_file_is_a_mistake(tmp_path: Path) -> None:
    for variable in VARIABLES:
        environ = REQUIRED | {variable.name: "x", variable.file: str(tmp_path)}
        assert f"{variable.name} and {variable.file} are both set: set only one" in mistakes(environ)


@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_absolute_lifetime_may_be_shorter_than_the_default_idle_lifetime(kind: str) -> None:
    settings = load_settings(REQUIRED | {f"BFF_{kind.upper()}_MAX_SECONDS": "60"})
    assert getattr(settings, f"{kind}_max_seconds") == 60
    assert getattr(settings, f"{kind}_idle_seconds") == DEFAULTS[f"{kind}_idle_seconds"]


def test_samesite_none_needs_https() -> None:
    loopback = {"BFF_PUBLIC_ORIGIN": "http://localhost:8080", "BFF_COOKIE_SAMESITE": "none"}
    (mistake,) = mistakes(REQUIRED | loopback)
    assert mistake.startswith("BFF_COOKIE_SAMESITE: expected")


@pytest.mark.parametrize(
    ("origin", "secure", "cookie"),
    [("https://shop.example", True, "__Host-bff"), ("http://localhost:8080", False, "bff")],
)
def test_cookie_name_depends_on_the_public_origin(origin: str, secure: bool, cookie: str) -> None:  # noqa: FBT001
    settings = load_settings(REQUIRED | {"BFF_PUBLIC_ORIGIN": origin})
    assert (settings.secure, settings.cookie_name) == (secure, cookie)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"BFF_REDIS_URL": "embedded:/data/bff"}, "/data/bff"),
        ({"BFF_REDIS_URL": "embedded:~/bff", "HOME": "/home/me"}, "/home/me/bff"),
        ({"BFF_REDIS_URL": "embedded:~", "HOME": "/home/me"}, "/home/me"),
        ({"BFF_REDIS_URL": "embedded:", "XDG_STATE_HOME": "/state"}, "/state/emporix-bff"),
        ({"BFF_REDIS_URL": "", "XDG_STATE_HOME": "/state"}, "/state/emporix-bff"),
        ({"BFF_REDIS_URL": "embedded:rel"}, str(Path("rel").absolute())),
        ({}, None),
    ],
)
def test_embedded_directory(environ: dict[str, str], directory: str | None) -> None:
    settings = load_settings(REQUIRED | environ)
    assert settings.embedded_directory == (Path(directory) if directory else None)
    if directory:
        assert settings.redis_url == Secret(f"embedded:{directory}")


@pytest.mark.parametrize(
    ("environ", "platform", "directory"),
    [
        ({"XDG_STATE_HOME": "/state"}, "darwin", "/state/emporix-bff"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "linux", "/h/.local/state/emporix-bff"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Application Support/emporix-bff"),
    ],
)
def test_state_directory(environ: dict[str, str], platform: str, directory: str) -> None:
    assert state_directory(environ, platform) == Path(directory)


def test_user_without_a_home_directory_must_set_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    (mistake,) = mistakes(REQUIRED | {"BFF_REDIS_URL": ""})
    assert mistake.startswith("BFF_REDIS_URL: expected embedded:DIR")


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(REQUIRED | {"BFF_SSO": SSO})
    with pytest.raises(AttributeError):
        settings.tenant = "other"  # type: ignore[misc]
    assert isinstance(settings.sso, MappingProxyType)


MARK = "s3cretM4rk"
around = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
secret_names = st.sampled_from([variable.name for variable in VARIABLES if variable.secret])


@given(name=secret_names, before=around, after=around, twin=st.sampled_from(["", "_FILE"]))
def test_no_secret_in_any_message_or_repr(name: str, before: str, after: str, twin: str) -> None:
    environ = {other: text for other, text in REQUIRED.items() if other != name}
    try:
        shown = repr(load_settings(environ | {f"{name}{twin}": f"{before}{MARK}{after}"}))
    except ConfigurationError as error:
        shown = f"{error} {error!r} {error.mistakes}"
        if error.__context__ or error.__cause__:
            pytest.fail("an exception that holds the text is chained")
    assert MARK not in shown


@given(
    name=secret_names,
    template=st.sampled_from(
        [
            "redis://:{}@cache/0",
            "redis://:{}/@cache",
            "rediss://{}:{}@",
            "unix://:{}@run",
            "embedded:{}",
            "k1:{}",
            "{}+:" + KEY,
            '{{"a": {{"authorize_url": "https://{}", "client_id": "{}", "scope": "{}"}}}}',
            '{{"{}": {{"{}": 1}}}}',
            '{{"{}": 1, "{}": 1}}',
        ]
    ),
    padding=st.text("/@:?#%[],= ", max_size=3),
)
def test_no_secret_in_messages_about_nearly_valid_values(name: str, template: str, padding: str) -> None:
    environ = REQUIRED | {name: template.replace("{}", MARK + padding).replace("{{", "{").replace("}}", "}")}
    try:
        shown = repr(load_settings(environ))
    except ConfigurationError as error:
        shown = f"{error}"
    assert MARK not in shown


def test_repr_shows_no_key_and_no_password() -> None:
    shown = repr(load_settings(REQUIRED | {"BFF_REDIS_URL": f"redis://:{MARK}@cache"}))
    assert MARK not in shown
    assert KEY not in shown
    assert repr(bytes(range(32))) not in shown
    assert "KeySpec(kid='k1')" in shown


def test_every_option_of_the_redis_url_that_is_wrong_is_named_and_no_value_is() -> None:
    url = "redis+sentinel://s1/main?sentinel_pasword=hidden&ssl_ca_certs=hidden&protocol=hidden&client_name="
    found = mistakes(REQUIRED | {"BFF_REDIS_URL": url})
    assert len(found) == 4
    for name, message in zip(
        ("sentinel_pasword", "ssl_ca_certs", "protocol", "client_name"), found, strict=True
    ):
        assert message.startswith("BFF_REDIS_URL: ")
        assert name in message
        assert "hidden" not in message
