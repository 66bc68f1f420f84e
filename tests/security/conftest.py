"""The proxy with providers, as the tests of signing on have it."""

from tests.integration.signing import sso, sso_process

__all__ = ["sso", "sso_process"]
