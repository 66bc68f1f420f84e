"""The session engine: `Engine(policy, ports)`, wired once and used by the app, operator commands and tests."""

from bff.sessions.admission import Admission
from bff.sessions.adoption import CustomerAdoption
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.cart_merge import CartMerger
from bff.sessions.guest_context import GuestContexts
from bff.sessions.legal_entity import LegalEntitySwitch
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login import CustomerLogin
from bff.sessions.own_sessions import OwnSessions
from bff.sessions.ports import Policy, Ports
from bff.sessions.refresh import TokenRefresher
from bff.sessions.renewable import KeptGuests, OwnTokens
from bff.sessions.shared_token import SharedToken
from bff.sessions.signup import CustomerSignup
from bff.sessions.token_saver import TokenSaver


class Engine:
    """The parts of the session engine, each with one purpose.

    Args:
        policy: the rules that sessions follow.
        ports: the store, the upstream and the other things outside.
    """

    def __init__(self, policy: Policy, ports: Ports) -> None:
        self.policy = policy
        self.ports = ports
        self.admission = Admission(ports)
        self.anonymous = AnonymousSessions(policy, ports)
        self.shared_token = SharedToken(policy, ports)
        saver = TokenSaver(ports)
        own, kept_guests = OwnTokens(ports, self.anonymous, self.shared_token), KeptGuests(ports, saver)
        self.refresher = TokenRefresher(policy, ports, own, saver)
        self.guest_refresher = TokenRefresher(policy, ports, kept_guests, saver)
        self.lifecycle = SessionLifecycle(
            ports, self.anonymous, self.refresher, self.guest_refresher, kept_guests, saver
        )
        self.legal_entity = LegalEntitySwitch(ports, self.admission, self.lifecycle, self.shared_token, saver)
        self.guest_contexts = GuestContexts(ports, saver)
        self.own_sessions = OwnSessions(ports, self.lifecycle)
        self.signup = CustomerSignup(ports, self.admission, self.lifecycle, self.shared_token)
        carts = CartMerger(ports.carts, site_code=policy.site_code)
        self.login = CustomerLogin(policy, ports, self.admission, self.lifecycle, saver, carts)
        self.adoption = CustomerAdoption(policy, ports, self.admission, self.lifecycle)
