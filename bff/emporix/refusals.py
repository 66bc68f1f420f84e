"""What Emporix' refusals mean, call by call: the one place that knows which status says what.

A refusal is an exception of its call's own class. Where a call can be refused for several reasons, its `kind` is one of
a small enum, which whoever handles it matches exhaustively.
"""

from enum import Enum, auto

from bff.emporix.answers import Refusal


class Refused(Exception):
    """Emporix understood a call and said no.

    Attributes:
        bearer_refused: the gateway refused the bearer, not what was asked with it; another bearer may be accepted.
    """

    call = "a call"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"Emporix refused {self.call} with {refusal.status}")
        self.bearer_refused = refusal.bearer_refused


class AnonymousLoginRefused(Refused):
    """Emporix refused an anonymous login: the tenant or the client id is wrong.

    The call has nothing else in it that could be refused, and nothing that comes from a visitor but the site, the
    currency, the language and the country.
    """

    call = "an anonymous login"


class LoginRefusal(Enum):
    """Why a login, a social login, a token exchange or an opt-in was refused."""

    CREDENTIALS = auto()
    """The password, code or token. Nobody documents what wrong credentials get: a 400, a 401 [CM] and a 404, which is
    an unknown customer at an exchange [TE], all say so."""
    ACCOUNT = auto()
    """The account may not log in: a 403."""
    MISCONFIGURED = auto()
    """The client id or the tenant."""
    UNKNOWN = auto()
    """No document has this status here."""


class LoginRefused(Refused):
    """Emporix refused a login, a social login, a token exchange or an opt-in."""

    call = "a login"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.kind = _login_kind(refusal)


def _login_kind(refusal: Refusal) -> LoginRefusal:
    if refusal.status == 403:
        return LoginRefusal.ACCOUNT
    if refusal.misconfigured:
        return LoginRefusal.MISCONFIGURED
    return LoginRefusal.CREDENTIALS if refusal.status in {400, 401, 404} else LoginRefusal.UNKNOWN


class SignupRefusal(Enum):
    """Why a sign-up was refused."""

    ACCOUNT_EXISTS = auto()
    """A 409 [CM]."""
    FORBIDDEN = auto()
    """A 403 [CM]."""
    BEARER = auto()
    """A 401: the anonymous token [CM]."""
    FIELDS = auto()
    """Anything else, documented as a 400 with the names of fields [CM]."""


class SignupRefused(Refused):
    """Emporix refused a sign-up.

    Attributes:
        kind: why.
        fields: names of the fields that it complained of; values never.
    """

    call = "a sign-up"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        kinds = {409: SignupRefusal.ACCOUNT_EXISTS, 403: SignupRefusal.FORBIDDEN, 401: SignupRefusal.BEARER}
        self.kind = kinds.get(refusal.status, SignupRefusal.FIELDS)
        self.fields = refusal.fields


class RefreshRefusal(Enum):
    """Why a refresh was refused."""

    REFRESH_TOKEN = auto()
    """The refresh token has ended: a 400 or a 401 [CM], or a 403."""
    MISCONFIGURED = auto()
    """The client id or the tenant; it says nothing about the refresh token."""
    UNKNOWN = auto()
    """A 404 or a 405 is what a gateway says while Emporix is being deployed, not what it says of a token."""


class RefreshRefused(Refused):
    """Emporix refused a refresh, anonymous or a customer's.

    Attributes:
        kind: why.
        company_doubtful: the company that the refresh named may be what was refused. No document has a status for one
            that the customer has lost: a 400, a 403 or a 404 of the service may say so.
    """

    call = "a refresh"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.kind = _refresh_kind(refusal)
        doubtful = {400, 403} if refusal.by_gateway else {400, 403, 404}
        self.company_doubtful = refusal.status in doubtful and not refusal.misconfigured


def _refresh_kind(refusal: Refusal) -> RefreshRefusal:
    if refusal.misconfigured:
        return RefreshRefusal.MISCONFIGURED
    return RefreshRefusal.REFRESH_TOKEN if refusal.status in {400, 401, 403} else RefreshRefusal.UNKNOWN


class SwitchRefusal(Enum):
    """Why a switch to another company was refused. Nobody documents what a company gets that is not the customer's."""

    LEGAL_ENTITY = auto()
    """The company."""
    LEGAL_ENTITY_OR_REFRESH_TOKEN = auto()
    """A 400 or a 401, which the refresh token gets too: a refresh without the company tells which it was."""


class SwitchRefused(Refused):
    """Emporix refused a switch to another company."""

    call = "a switch of the legal entity"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        unclear = refusal.status in {400, 401}
        self.kind = SwitchRefusal.LEGAL_ENTITY_OR_REFRESH_TOKEN if unclear else SwitchRefusal.LEGAL_ENTITY


class ValidationRefusal(Enum):
    """Why a validation was refused."""

    ACCESS_TOKEN = auto()
    """The gateway does not know the token, or it has ended: a 401, the only refusal that is documented [CM]."""
    UNKNOWN = auto()
    """Anything else. Nobody says whether anonymous tokens can be validated at all."""


class ValidationRefused(Refused):
    """Emporix refused to validate an access token."""

    call = "a validation"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        known = refusal.status == 401
        self.kind = ValidationRefusal.ACCESS_TOKEN if known else ValidationRefusal.UNKNOWN


class CartLookupRefused(Refused):
    """Emporix refused to find a cart.

    Attributes:
        not_seen: there is none, or none that this bearer may see: a 404 or a 403 [CART].
    """

    call = "a cart look-up"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.not_seen = refusal.status in {403, 404}


class MergeRefusal(Enum):
    """Why a merge of carts was refused; the texts were met on live tenants, no document has them."""

    CURRENCY = auto()
    """"All the items must have the same currency when merging carts"."""
    PRICE = auto()
    """"No price has been found" for an item, which may name the currency."""
    COMPANY = auto()
    """"Anonymous cart cannot be assigned to a legal entity"."""
    GONE = auto()
    """One of the two carts has been closed meanwhile: a 404."""
    OTHER = auto()
    """Anything else."""


class CartMergeRefused(Refused):
    """Emporix refused to merge carts."""

    call = "a cart merge"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.kind = _merge_kind(refusal)


def _merge_kind(refusal: Refusal) -> MergeRefusal:
    text = refusal.message.lower()
    if refusal.status == 404:
        return MergeRefusal.GONE
    if "no price" in text:
        return MergeRefusal.PRICE
    if "same currency" in text:
        return MergeRefusal.CURRENCY
    return MergeRefusal.COMPANY if "legal entity" in text else MergeRefusal.OTHER


class ContextRefused(Refused):
    """Emporix refused to show or change a session context.

    Attributes:
        none_yet: the session has none before its first cart: a 404 [SC].
        stale: somebody changed it meanwhile: a 409 [SDK].
    """

    call = "a session context"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.none_yet = refusal.status == 404
        self.stale = refusal.status == 409


class RefreshTokenEnded(Exception):
    """There is no refresh token, or its own clock says that it has ended: Emporix was not asked."""
