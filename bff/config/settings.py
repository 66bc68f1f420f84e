"""The settings of the proxy: a table of the `BFF_` variables, read once at the start. All mistakes are reported."""

import difflib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bff.addresses import Network
from bff.config import parsing
from bff.config.parsing import InvalidValue, KeySpec, Rate, SsoProvider
from bff.config.redis_url import EMBEDDED, redis_url
from bff.security.secret import Secret

__all__ = [
    "VARIABLES",
    "ConfigurationError",
    "KeySpec",
    "Rate",
    "Settings",
    "SsoProvider",
    "Variable",
    "load_settings",
    "state_directory",
]

PREFIX: Final = "BFF_"
_QUOTE_LIMIT: Final = 60
_MAX_FILE_BYTES: Final = 1 << 20
_TEN_YEARS: Final = 10 * 366 * 86_400


class ConfigurationError(Exception):
    """The environment variables are not a valid configuration.

    Attributes:
        mistakes: one message per mistake, which names the variable and contains no secret.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The checked settings. Durations are in seconds, sizes in bytes.

    Origins are ``scheme://host[:port]`` in lower case without a default port, so that they can be compared
    with an `Origin` header. `repr` shows no key, no password and no identity provider.
    """

    tenant: str
    client_id: str
    upstream_url: str
    public_origin: str
    allowed_origins: tuple[str, ...] = ()
    keys: tuple[KeySpec, ...]
    redis_url: Secret
    session_cache: int
    trusted_proxies: tuple[Network, ...] = ()
    admin_port: int | None = None
    admin_host: str
    guest_idle_seconds: int
    customer_idle_seconds: int
    guest_max_seconds: int
    customer_max_seconds: int
    refresh_skew_seconds: int
    cookie_samesite: str
    site_code: str | None = None
    sso: Mapping[str, SsoProvider] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    keep_context: bool
    drop_in: bool
    assisted: bool
    routes_file: Path | None = None
    login_rate: Rate
    guest_rate: Rate
    account_rate: Rate
    refresh_rate: Rate
    client_streams: int
    session_schema: int
    client_connections: int
    max_body_bytes: int
    drain_seconds: float
    grace_seconds: int
    log_level: str
    log_accounts: str
    traces: str | None = None

    @property
    def secure(self) -> bool:
        """Whether browsers reach the proxy over https."""
        return self.public_origin.startswith("https:")

    @property
    def cookie_name(self) -> str:
        """The name of the session cookie. The `__Host-` prefix needs https."""
        return "__Host-bff" if self.secure else "bff"

    @property
    def embedded_directory(self) -> Path | None:
        """The absolute directory of the embedded Redis, or None if an external Redis is configured."""
        url = self.redis_url.reveal()
        return Path(url.removeprefix(EMBEDDED)) if url.startswith(EMBEDDED) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One `BFF_` variable.

    Attributes:
        name: the name of the variable. `name` + ``_FILE`` may be set instead, to the path of a file with the value.
        parse: turns the text into the value, or raises `InvalidValue`.
        meaning: a one-line description.
        default: the text to use if the variable is unset or empty; None if there is no default.
        required: whether the variable must be set.
        secret: whether messages must not quote the text.
    """

    name: str
    parse: Callable[[str], Any]
    meaning: str
    default: str | None = None
    required: bool = False
    secret: bool = False

    @property
    def field(self) -> str:
        """The name of its field in `Settings`."""
        return self.name.removeprefix(PREFIX).lower()

    @property
    def file(self) -> str:
        """The name of the variable that holds the path of a file with the value."""
        return f"{self.name}_FILE"


def _variable(name: str, parse: Callable[[str], Any], meaning: str, default: str | None = None) -> Variable:
    return Variable(name=PREFIX + name, parse=parse, meaning=meaning, default=default)


_lifetime: Final = parsing.integer(1, _TEN_YEARS)
_visible: Final = parsing.matching(r"[!-~]{1,128}", "1 to 128 visible ASCII characters")
_tenant: Final = parsing.matching(
    r"[a-z][a-z0-9]{2,15}", "3 to 16 characters a-z and 0-9, starting with a letter"
)

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable(name="BFF_TENANT", parse=_tenant, meaning="Emporix tenant", required=True),
    Variable(name="BFF_CLIENT_ID", parse=_visible, meaning="the storefront client id", required=True),
    _variable("UPSTREAM_URL", parsing.origin, "the Emporix API", "https://api.emporix.io"),
    Variable(
        name="BFF_PUBLIC_ORIGIN",
        parse=parsing.origin,
        meaning="the origin at which browsers reach the proxy",
        required=True,
    ),
    _variable("ALLOWED_ORIGINS", parsing.origins, "comma-separated list of other storefront origins"),
    Variable(
        name="BFF_KEYS",
        parse=parsing.keys,
        meaning="comma-separated list of kid:base64url(32 bytes), newest first: the first encrypts, all decrypt",
        required=True,
        secret=True,
    ),
    Variable(
        name="BFF_REDIS_URL",
        parse=redis_url,
        meaning="where sessions are stored; `embedded:` alone uses the user's state directory",
        default=EMBEDDED,
        secret=True,
    ),
    _variable("SESSION_CACHE", parsing.integer(0, 65_536), "MiB of sessions in a process's memory", "32"),
    _variable(
        "TRUSTED_PROXIES", parsing.networks, "comma-separated list of CIDRs whose X-Forwarded-For is trusted"
    ),
    _variable("ADMIN_PORT", parsing.integer(1, 65_535), "second listener for /metrics, /livez, /readyz"),
    _variable("ADMIN_HOST", parsing.address, "the address that the second listener binds to", "127.0.0.1"),
    _variable("GUEST_IDLE_SECONDS", _lifetime, "idle lifetime of a guest session", "86400"),
    _variable("CUSTOMER_IDLE_SECONDS", _lifetime, "idle lifetime of a customer session", "1209600"),
    _variable("GUEST_MAX_SECONDS", _lifetime, "absolute lifetime of a guest session", "604800"),
    _variable("CUSTOMER_MAX_SECONDS", _lifetime, "absolute lifetime of a customer session", "7776000"),
    _variable(
        "REFRESH_SKEW_SECONDS", parsing.integer(0, 3600), "refresh a token this long before it expires", "60"
    ),
    _variable("COOKIE_SAMESITE", parsing.choice("strict", "lax", "none"), "SameSite of the cookie", "strict"),
    _variable("SITE_CODE", _visible, "the site whose guest cart is merged at login"),
    Variable(name="BFF_SSO", parse=parsing.sso, meaning="identity providers, as JSON", secret=True),
    _variable(
        "KEEP_CONTEXT", parsing.boolean, "a guest's site, currency and language outlast the login", "true"
    ),
    _variable("DROP_IN", parsing.boolean, "serve the upstream's own auth paths under /api", "false"),
    _variable("ASSISTED", parsing.boolean, "accept a customer's tokens from Emporix's dashboard", "false"),
    _variable("ROUTES_FILE", parsing.readable_file, "changes to the built-in route table"),
    _variable("LOGIN_RATE", parsing.rate, "login attempts per account and per client address", "10/60"),
    _variable("GUEST_RATE", parsing.rate, "new guest sessions per client address", "60/60"),
    _variable(
        "ACCOUNT_RATE", parsing.rate, "sign-ups, mails and password changes per client address", "30/60"
    ),
    _variable("REFRESH_RATE", parsing.rate, "requested token refreshes per client address", "120/60"),
    _variable("CLIENT_STREAMS", parsing.integer(1, 1 << 20), "concurrent requests per client", "128"),
    _variable(
        "SESSION_SCHEMA",
        parsing.integer(1, 2),
        "what new sessions are written in: 1 for a release before",
        "2",
    ),
    _variable("CLIENT_CONNECTIONS", parsing.integer(1, 1 << 20), "open connections per client", "256"),
    _variable("MAX_BODY_BYTES", parsing.integer(1024, 1 << 40), "largest request body", "10485760"),
    _variable("DRAIN_SECONDS", parsing.decimal(0, 300), "how long to keep serving after SIGTERM", "5"),
    _variable("GRACE_SECONDS", parsing.integer(1, 600), "the longest from SIGTERM to the end", "25"),
    _variable("LOG_LEVEL", parsing.choice("debug", "info", "warning", "error"), "the least level", "info"),
    _variable("LOG_ACCOUNTS", parsing.choice("digest", "plain"), "how audit events name people", "digest"),
    _variable("TRACES", parsing.collector, "the OTLP/HTTP collector that gets traces"),
)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`, such as `os.environ`. Variables without the prefix are ignored.

    Raises:
        ConfigurationError: the configuration is not valid; it lists every mistake.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for variable in VARIABLES:
        try:
            value = _read(variable, environ)
        except InvalidValue as error:
            mistakes += error.messages
        else:
            if value is not None:
                values[variable.field] = value
    mistakes += [*_unknown(environ), *_contradictions(values), *_complete(values, environ)]
    if mistakes:
        raise ConfigurationError(tuple(mistakes))
    return Settings(**values)


def state_directory(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the directory for local state (XDG Base Directory, or Application Support on macOS).

    Raises:
        InvalidValue: neither XDG_STATE_HOME nor a home directory is known.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):  # the specification: a relative path is invalid and is ignored
        return Path(state) / "emporix-bff"
    parts = ("Library", "Application Support") if platform == "darwin" else (".local", "state")
    return _home(environ).joinpath(*parts, "emporix-bff")


def _home(environ: Mapping[str, str]) -> Path:
    try:
        return Path(environ["HOME"] if environ.get("HOME") else Path.home())
    except RuntimeError:
        raise InvalidValue("expected embedded:DIR, because this user has no home directory") from None


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    """Return the value, or None if the variable is unset and has no default.

    Raises:
        InvalidValue: its messages name the variable.
    """
    text, path = environ.get(variable.name), environ.get(variable.file)
    if text and path:
        raise InvalidValue(f"{variable.name} and {variable.file} are both set: set only one")
    source = variable.file if path else variable.name
    if path:
        text = _read_file(variable, path)
    if not text and variable.required:
        raise InvalidValue(f"{variable.name} is required: {variable.meaning}")
    text = text or variable.default
    try:
        return None if text is None else variable.parse(text)
    except InvalidValue as error:
        # Never quote a file: with a wrong mount it may be the file with the keys.
        got = "" if variable.secret or path else _got(text or "")
        raise InvalidValue(*(f"{source}: {message}{got}" for message in error.messages)) from None


def _read_file(variable: Variable, path: str) -> str:
    got = "" if variable.secret else _got(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_FILE_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text, or not a path"
        raise InvalidValue(f"{variable.file}: expected a file that can be read ({reason}){got}") from None
    content = content.removesuffix("\n").removesuffix("\r")
    if not content:
        raise InvalidValue(f"{variable.file}: expected a file that is not empty{got}")
    return content


def _got(text: str) -> str:
    """Quote the start of `text`, but nothing if it contains an @, because it may then hold a password."""
    if "@" in text:
        return ""
    return f", got {text if len(text) <= _QUOTE_LIMIT else text[: _QUOTE_LIMIT - 1] + '…'!r}"


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = [name for variable in VARIABLES for name in (variable.name, variable.file)]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            yield f"{name} is not a known variable" + (f": did you mean {close[0]}?" if close else "")


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message for each pair of values that contradict each other; invalid values are absent here."""
    if values.get("cookie_samesite") == "none" and values.get("public_origin", "").startswith("http:"):
        yield "BFF_COOKIE_SAMESITE: expected strict or lax, because none needs an https BFF_PUBLIC_ORIGIN"


def _complete(values: dict[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Complete the values that depend on other values or on the user's directories; yield mistakes."""
    if "allowed_origins" in values:
        own = values.get("public_origin")
        values["allowed_origins"] = tuple(other for other in values["allowed_origins"] if other != own)
    url = values["redis_url"].reveal() if "redis_url" in values else ""
    if url.startswith(EMBEDDED):
        try:
            values["redis_url"] = Secret(EMBEDDED + str(_embedded_path(url.removeprefix(EMBEDDED), environ)))
        except InvalidValue as error:
            yield f"BFF_REDIS_URL: {error}"


def _embedded_path(path: str, environ: Mapping[str, str]) -> Path:
    if not path:
        return state_directory(environ)
    if path == "~" or path.startswith("~/"):
        return _home(environ) / path[2:]
    return Path(path).absolute()
