"""Apache with mod_auth_openidc: sessions in Redis, the access token sent on as a bearer."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tests.bench.ground import Contender, Ground, NotInstalled
from tests.bench.names import OPENIDC
from tests.bench.processes import program, started
from tests.bench.provider import CLIENT, CLIENT_SECRET, METADATA_PATH
from tests.bench.wire import MANY, WHAT_CAME_PATH
from tests.live import free_port

_PLACES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/etc/httpd/modules")
_MODULES = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "proxy",
    "proxy_http",
    "headers",
    "auth_openidc",
)
_THREADS = 256
_VISITORS = 50
_COOKIE = "mod_auth_openidc_session"


class NotAsMeant(Exception):
    """Apache does not do what it is measured for."""


@contextmanager
def openidc(ground: Ground) -> Iterator[Contender]:
    """Run Apache, log its visitors in, and see that it sends their tokens on."""
    apache, modules = program("apache2", "httpd"), _modules()
    if apache is None or modules is None:
        raise NotInstalled("Apache with mod_auth_openidc is not installed")
    if ground.redis.startswith("unix://"):
        raise NotInstalled("it needs a Redis with a port: version 7 or newer")
    port, issuing = free_port(), free_port()
    folder = ground.folder / "apache"
    folder.mkdir()
    file = folder / "apache.conf"
    file.write_text(_configuration(ground, modules, folder, port, issuing), "ascii")
    provider = [sys.executable, "-m", "tests.bench.provider", str(issuing)]
    with (
        started(provider, issuing, measured=False),
        started([apache, "-D", "FOREGROUND", "-f", str(file)], port, measured=True) as pid,
    ):
        visitors = [_session(port) for _ in range(_VISITORS)]
        _check(port, visitors)
        # Each request that waits has a thread of its own: it does not stand at a thousand.
        yield Contender(OPENIDC, port, pid, {"guest": visitors, "customer": visitors}, without=MANY)


def _modules() -> Path | None:
    return next((Path(one) for one in _PLACES if Path(one, "mod_auth_openidc.so").exists()), None)


def _configuration(ground: Ground, modules: Path, folder: Path, port: int, issuing: int) -> str:
    loaded = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in _MODULES)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    origin, issuer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{issuing}"
    return f"""ServerRoot {folder}
ServerName 127.0.0.1
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogLevel error
Listen 127.0.0.1:{port}
ListenBacklog 4096
{loaded}
{user}
StartServers 1
ServerLimit 1
ThreadLimit {_THREADS}
ThreadsPerChild {_THREADS}
MaxRequestWorkers {_THREADS}
MinSpareThreads 1
MaxSpareThreads {_THREADS}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300
OIDCProviderMetadataURL {issuer}{METADATA_PATH}
OIDCClientID {CLIENT}
OIDCClientSecret {CLIENT_SECRET}
OIDCIDTokenSignedResponseAlg HS256
OIDCRedirectURI {origin}/login/done
OIDCCryptoPassphrase {CLIENT_SECRET}
OIDCSessionType server-cache
OIDCCacheType redis
OIDCRedisCacheServer {urlsplit(ground.redis).netloc}
OIDCSessionInactivityTimeout 86400
OIDCPassClaimsAs environment
<Location /login>
AuthType openid-connect
Require valid-user
</Location>
<Location /api>
AuthType openid-connect
Require valid-user
OIDCUnAuthAction 401
RequestHeader set Authorization "Bearer %{{OIDC_access_token}}e" env=OIDC_access_token
RequestHeader unset Cookie
</Location>
ProxyPass /login {ground.upstream.url}{WHAT_CAME_PATH}
ProxyPass /api {ground.upstream.url}
"""


def _session(port: int) -> dict[str, str]:
    """Log one visitor in, by the code flow."""
    with httpx2.Client(follow_redirects=True, trust_env=False) as browser:
        answer = browser.get(f"http://127.0.0.1:{port}/login")
        answer.raise_for_status()
        return {"Cookie": f"{_COOKIE}={browser.cookies[_COOKIE]}"}


def _check(port: int, visitors: list[dict[str, str]]) -> None:
    """Require that each visitor's own token reaches upstream, and that a changed cookie opens nothing."""
    url = f"http://127.0.0.1:{port}/api{WHAT_CAME_PATH}"
    with httpx2.Client(trust_env=False) as client:
        bearers = {client.get(url, headers=visitor).json()["authorization"] for visitor in visitors}
        changed = {"Cookie": visitors[0]["Cookie"][:-4] + "0000"}
        refused = [client.get(url, headers=fields).status_code for fields in (changed, {})]
    if len(bearers) != len(visitors) or not all(one.startswith("Bearer ") for one in bearers):
        raise NotAsMeant("not every visitor's token reaches upstream")
    if refused != [401, 401]:
        raise NotAsMeant(f"a changed cookie and none should be refused with 401, got {refused}")
