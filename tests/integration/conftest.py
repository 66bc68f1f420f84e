"""The proxies that several files of this folder share."""

from tests.integration.signing import sso, sso_process
from tests.integration.wire import upstream, wired

__all__ = ["sso", "sso_process", "upstream", "wired"]
