"""The route table: which routes are allowed, which token they get, and what an operator's file may change."""

import tomllib
from collections import Counter
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.api.route_file import RouteTableError, load_route_table
from bff.api.routes import METHODS, Match, Route, RouteTable
from bff.api.token_kinds import TokenKind
from bff.errors import Forbidden, RouteNotAllowed

TENANT = "acmeshop"
ALLOWED, OPTIONAL, DROP_IN, NEVER = 161, 51, 9, 540
BUILT_IN = load_route_table(TENANT)
DOCUMENT = tomllib.loads(files("bff.api").joinpath("routes.toml").read_text("utf-8"))


def segments(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[1:])


def match(method: str, path: str, table: RouteTable = BUILT_IN) -> Match:
    return table.match(method, segments(path))


def extended(*lines: str) -> RouteTable:
    return load_route_table(TENANT, "\n".join(["[routes]", *lines]))


def mistakes(*lines: str) -> tuple[str, ...]:
    with pytest.raises(RouteTableError) as caught:
        extended(*lines)
    return caught.value.mistakes


def operations(section: str) -> list[tuple[str, str, str]]:
    return [
        (method, key.partition(" ")[2], rule)
        for key, rule in DOCUMENT[section].items()
        for method in key.partition(" ")[0].split(",")
    ]


def example(template: str) -> str:
    return "/".join(
        TENANT if part == "{tenant}" else "x1" if part.startswith(("{", "**")) else part
        for part in template.split("/")
    )


def test_the_built_in_table_lists_every_operation_of_the_reference_once() -> None:
    counts = {section: len(operations(section)) for section in DOCUMENT}
    assert counts == {"allow": ALLOWED, "opt-in": OPTIONAL, "drop-in": DROP_IN, "never": NEVER}
    assert Counter(rule for _, _, rule in operations("never")) == {"block": NEVER - 16, "intercept": 16}
    every = Counter((m, p) for section in DOCUMENT for m, p, _ in operations(section))
    assert set(every.values()) == {1}
    assert len(BUILT_IN.routes()) == ALLOWED


def test_built_in_tokens() -> None:
    kinds = Counter(route.token for route in BUILT_IN.routes())
    assert kinds == {
        TokenKind.PUBLIC: 62,
        TokenKind.SESSION: 36,
        TokenKind.CUSTOMER: 58,
        TokenKind.ANONYMOUS: 5,
    }
    assert [r.name for r in BUILT_IN.routes() if r.once] == [
        "POST /cart/{tenant}/carts/{cartId}/execute",
        "POST /checkout/{tenant}/checkouts/order",
    ]
    assert {r.template.split("/")[1] for r in BUILT_IN.routes() if r.session_id} == {"cart"}
    assert {r.method for r in BUILT_IN.routes() if r.browser_cache} == {"GET"}
    live_only = {
        r.template.removeprefix("/session-context/{tenant}/me/") for r in BUILT_IN.routes() if r.live_only
    }
    assert live_only == {"context", "context/attributes", "context/attributes/{attributeName}"}


def test_every_allowed_operation_matches() -> None:
    for method, template, rule in operations("allow"):
        found = match(method, example(template))
        assert found.route.name == f"{method} {template}"
        assert found.route.token == rule.partition(" ")[0]
        assert found.tenant == (TENANT if "{tenant}" in template else None)


@pytest.mark.parametrize("section", ["opt-in", "drop-in", "never"])
def test_every_operation_that_is_off_is_refused(section: str) -> None:
    for method, template, _ in operations(section):
        with pytest.raises(RouteNotAllowed):
            match(method, example(template))


def test_opt_in_operations_can_be_switched_on() -> None:
    lines = [f'"{key}" = "on"' for key in DOCUMENT["opt-in"]]
    table = extended(*lines)
    assert len(table.routes()) == ALLOWED + OPTIONAL
    for method, template, rule in operations("opt-in"):
        found = match(method, example(template), table)
        assert found.route.name == f"{method} {template}"
        assert found.route.token == rule.partition(" ")[0]


def test_what_existing_clients_call_beyond_the_reference_is_allowed_in_drop_in_mode() -> None:
    table = load_route_table(TENANT, drop_in=True)
    assert len(table.routes()) == ALLOWED + DROP_IN
    for method, template, rule in operations("drop-in"):
        found = match(method, example(template), table)
        assert (found.route.name, found.route.token) == (f"{method} {template}", rule)
    for method, path in (
        ("PUT", "/customer/acmeshop/me"),
        ("DELETE", "/caas-customer/acmeshop/customers/x1"),
        ("POST", "/caas-customer/acmeshop/login"),
    ):
        with pytest.raises(RouteNotAllowed):
            match(method, path, table)


def test_an_operator_can_refuse_and_replace_what_drop_in_mode_allows() -> None:
    lines = ("[routes]", '"POST /product/{tenant}/search" = "off"', '"GET /iam/{tenant}/groups" = "on"',
             '"GET /caas-indexing/{tenant}/project/configuration" = "session"')  # fmt: skip
    table = load_route_table(TENANT, "\n".join(lines), drop_in=True)
    with pytest.raises(RouteNotAllowed):
        match("POST", "/product/acmeshop/search", table)
    configuration = match("GET", "/caas-indexing/acmeshop/project/configuration", table)
    assert configuration.route.token is TokenKind.SESSION
    assert match("GET", "/iam/acmeshop/groups", table).route.token is TokenKind.CUSTOMER


@pytest.mark.parametrize("rule", ["on", "off", "public", "customer"])
def test_never_operations_cannot_be_changed(rule: str) -> None:
    lines = [f'"{method} {template}" = "{rule}"' for method, template, _ in operations("never")]
    found = mistakes(*lines)
    assert all("never be allowed" in mistake for mistake in found)
    assert len(found) == NEVER


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        (
            "POST",
            "/checkout/acmeshop/checkouts/order",
            Route(
                "POST",
                "/checkout/{tenant}/checkouts/order",
                TokenKind.SESSION,
                saas_token="required",
                once=True,
            ),
        ),
        (
            "POST",
            "/cart/acmeshop/carts",
            Route("POST", "/cart/{tenant}/carts", TokenKind.SESSION, saas_token="optional", session_id=True),
        ),
        (
            "GET",
            "/order-v2/acmeshop/orders",
            Route("GET", "/order-v2/{tenant}/orders", TokenKind.CUSTOMER, saas_token="optional"),
        ),
        (
            "DELETE",
            "/return/acmeshop/returns/r1",
            Route("DELETE", "/return/{tenant}/returns/{returnId}", TokenKind.CUSTOMER, saas_token="required"),
        ),
        ("GET", "/product/acmeshop/products", Route("GET", "/product/{tenant}/products", TokenKind.PUBLIC)),
        (
            "GET",
            "/site/acmeshop/sites",
            Route("GET", "/site/{tenant}/sites", TokenKind.PUBLIC, browser_cache=True),
        ),
        ("GET", "/brand/brands/b1", Route("GET", "/brand/brands/{brandId}", TokenKind.PUBLIC)),
        (
            "POST",
            "/customer/acmeshop/signup/optin/refresh_token",
            Route("POST", "/customer/{tenant}/signup/optin/refresh_token", TokenKind.ANONYMOUS),
        ),
        (
            "GET",
            "/category/acmeshop/categories/categoryTree",
            Route("GET", "/category/{tenant}/categories/categoryTree", TokenKind.PUBLIC),
        ),
        (
            "HEAD",
            "/product/acmeshop/products/p1",
            Route("GET", "/product/{tenant}/products/{productId}", TokenKind.PUBLIC),
        ),
        (
            "GET",
            "/product/acmeshop/products/urn:yaas:acmeshop;p1",
            Route("GET", "/product/{tenant}/products/{productId}", TokenKind.PUBLIC),
        ),
    ],
)
def test_matched_route_has_its_token_and_flags(method: str, path: str, expected: Route) -> None:
    assert match(method, path).route == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/customer/acmeshop/signup/optin/refresh_token"),
        ("GET", "/customer/acmeshop/signup/optin/0123"),
        ("HEAD", "/customer/acmeshop/signup/optin/0123"),
        ("HEAD", "/customer/acmeshop/logout"),
        ("GET", "/customer/othershop/logout"),
        ("GET", "/nothing/acmeshop/here"),
        ("GET", "/nothing/othershop/here"),
        ("GET", "/product/acmeshop"),
        ("GET", "/product/acmeshop/products/p1/more"),
        ("GET", "/Product/acmeshop/products"),
        ("get", "/product/acmeshop/products"),
        ("OPTIONS", "/product/acmeshop/products"),
        ("TRACE", "/product/acmeshop/products"),
        ("GET", "/" + "/".join(["x"] * 4000)),
        # A path that matches both the allowed {site} and the refused delivery-times is refused.
        ("GET", "/shipping/acmeshop/delivery-times/zones"),
        ("GET", "/shipping/acmeshop/actualDeliveryWindows/cgrelations"),
        # A server that cuts segments at `;` would read a refused path.
        ("GET", "/shipping/acmeshop/delivery-times;v=1/zones"),
    ],
)
def test_everything_else_is_refused(method: str, path: str) -> None:
    with pytest.raises(RouteNotAllowed):
        match(method, path)


@pytest.mark.parametrize("tenant", ["othershop", "ACMESHOP", "acmeshop;x", "{tenant}"])
def test_another_tenant_is_forbidden(tenant: str) -> None:
    with pytest.raises(Forbidden):
        match("GET", f"/product/{tenant}/products")


def test_routes_are_sorted() -> None:
    keys = [(r.template, METHODS.index(r.method)) for r in BUILT_IN.routes()]
    assert keys == sorted(keys)


def test_an_operator_can_add_replace_and_switch_off_routes() -> None:
    table = extended(
        '"GET /caas-indexing/{tenant}/project/configuration" = "public"',
        '"GET,HEAD /order-v2/{tenant}/subscriptions" = "customer saas-token"',
        '"GET /product/{tenant}/products/{id}" = "session"',
        '"GET /category/{tenant}/categories/categoryTree" = "off"',
        '"GET /price/{tenant}/prices" = "session"',
        '"GET /iam/{tenant}/users/me" = "off"',
    )
    assert match("GET", "/caas-indexing/acmeshop/project/configuration", table).tenant == TENANT
    assert match("GET", "/order-v2/acmeshop/subscriptions", table).route.saas_token == "required"
    assert match("HEAD", "/order-v2/acmeshop/subscriptions", table).route.method == "HEAD"
    assert match("GET", "/product/acmeshop/products/p1", table).route.token is TokenKind.SESSION
    assert match("GET", "/price/acmeshop/prices", table).route.token is TokenKind.SESSION
    assert match("GET", "/category/acmeshop/categories/c1", table).tenant == TENANT
    for path in ("/category/acmeshop/categories/categoryTree", "/iam/acmeshop/users/me"):
        with pytest.raises(RouteNotAllowed):
            match("GET", path, table)
    with pytest.raises(Forbidden):
        match("GET", "/caas-indexing/othershop/project/configuration", table)


def test_an_added_route_with_a_parameter_does_not_allow_refused_paths() -> None:
    table = extended('"GET,POST,HEAD /customer/{tenant}/{what}" = "session"')
    assert match("GET", "/customer/acmeshop/news", table).tenant == TENANT
    for method, path in (
        ("GET", "logout"),
        ("HEAD", "logout"),
        ("POST", "login"),
        ("GET", "refreshauthtoken"),
    ):
        with pytest.raises(RouteNotAllowed):
            match(method, f"/customer/acmeshop/{path}", table)


@pytest.mark.parametrize("text", ["", "# nothing", "[routes]"])
def test_an_empty_file_changes_nothing(text: str) -> None:
    assert load_route_table(TENANT, text).routes() == BUILT_IN.routes()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('"FETCH /x/{tenant}/y" = "public"', "unknown method 'FETCH'"),
        ('"get /x/{tenant}/y" = "public"', "unknown method"),
        ('"GET, POST /x/{tenant}/y" = "public"', "unknown method"),
        ('"/x/{tenant}/y" = "public"', "unknown method"),
        ('"GET x/{tenant}/y" = "public"', "starts with /"),
        ('"GET" = "public"', "starts with /"),
        ('"GET /" = "public"', "a segment must be"),
        ('"GET /x//y" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/y/" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/a%20b" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/y?z=1" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/y#z" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/a b" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/y-{id}" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/{}" = "public"', "a segment must be"),
        ('"GET /x/{tenant}/ü" = "public"', "a segment must be"),
        ('"GET /x/../y" = "public"', "dot segments"),
        ('"GET /x/{tenant}/." = "public"', "dot segments"),
        ('"GET /x/{tenant}/{a}/{a}" = "public"', "named twice"),
        ('"GET /{service}/{tenant}" = "public"', "first segment"),
        ('"GET /x/{shop}/y" = "public"', "second segment"),
        ('"GET /product/{t}/products" = "public"', "second segment"),
        ('"GET /product/othershop/products" = "public"', "second segment"),
        ('"GET /oauth/anything" = "public"', "returns tokens"),
        ('"POST /customerlogin/{tenant}/x" = "public"', "returns tokens"),
        ('"GET /x/{tenant}/y" = "admin"', "unknown token 'admin'"),
        ('"GET /x/{tenant}/y" = ""', "unknown token ''"),
        ('"GET /x/{tenant}/y" = "On"', "unknown token"),
        ('"GET /x/{tenant}/y" = "public fast"', "unknown flag 'fast'"),
        ('"GET /x/{tenant}/y" = "public saas-token"', "no session"),
        ('"GET /x/{tenant}/y" = "anonymous session-id"', "no session"),
        ('"GET /x/{tenant}/y" = "customer browser-cache"', "only a public response"),
        ('"GET /x/{tenant}/y" = "customer saas-token saas-token-optional"', "contradict"),
        ('"GET /x/{tenant}/y" = "session once once"', "repeated"),
        ('"GET /x/{tenant}/y" = "session session-id chat-session"', "contradict"),
        ('"GET /x/{tenant}/y" = "public chat-session"', "no session"),
        ('"GET /x/{tenant}/**/y" = "public"', "last segment"),
        ('"GET /x/{tenant}/y/**/**" = "public"', "last segment"),
        ('"GET /x/**" = "public"', "last segment"),
        ('"GET /x/{tenant}/**" = "public"', "after three others"),
        ('"GET /webhook/{tenant}/config/**" = "session"', "never be allowed"),
        ('"POST /importtool/{tenant}/anything/else" = "session"', "never be allowed"),
        ('"GET /changelog/{tenant}/a/**" = "session"', "never be allowed"),
        ('"GET /session-context/{tenant}/context/**" = "session"', "never be allowed"),
        ('"GET /oauth/{tenant}/a/**" = "public"', "returns tokens"),
        ('"GET /x/{tenant}/y" = true', "must be a string"),
        ('"GET /x/{tenant}/y" = "on"', "not an opt-in"),
        ('"GET /product/{tenant}/products" = "on"', "not an opt-in"),
        ('"GET /x/{tenant}/y" = "off"', "not in the table"),
        ('"GET,GET /x/{tenant}/y" = "public"', "given twice"),
        ('"POST /oauth/token" = "on"', "returns tokens"),
        ('"GET /customer/{tenant}/logout" = "session"', "never be allowed"),
        ('"HEAD /customer/{tenant}/logout" = "session"', "never be allowed"),
        ('"GET /customer/{tenant}/signup/optin/{t}" = "public"', "never be allowed"),
        ('"GET /customer/{tenant}/signup/optin/fixed" = "public"', "never be allowed"),
        ('"GET /session-context/{tenant}/context/{other}" = "session"', "never be allowed"),
    ],
)
def test_a_mistake_is_reported(line: str, part: str) -> None:
    found = mistakes(line)
    assert any(part in mistake for mistake in found), found


def test_all_mistakes_are_reported_at_once() -> None:
    found = mistakes(
        '"FETCH /x" = "nobody"',
        '"GET /x/{tenant}/{a}" = "public"',
        '"GET /x/{tenant}/{b}" = "public"',
        '"POST /oauth/token" = "on"',
    )
    assert len(found) == 4
    assert [mistake for mistake in found if "given twice" in mistake]


@pytest.mark.parametrize("text", ["[routes", '[routes]\n"GET /a" = "public"\n"GET /a" = "public"'])
def test_bad_toml_is_one_mistake(text: str) -> None:
    with pytest.raises(RouteTableError, match="not TOML") as caught:
        load_route_table(TENANT, text)
    assert len(caught.value.mistakes) == 1


@pytest.mark.parametrize(
    ("line", "how"),
    [
        (
            'GET /price/{tenant}/prices = "on"',
            'write "GET,POST /service/{tenant}/path/{id}" = "TOKEN FLAG..."',
        ),
        (
            '"GET /price/{tenant}/prices" = on',
            'write "GET,POST /service/{tenant}/path/{id}" = "TOKEN FLAG..."',
        ),
        ('"get /price/{tenant}/prices" = "on"', "write one or more of GET,HEAD,POST"),
        ('"GET price/{tenant}/prices" = "on"', 'write "GET,POST /service/{tenant}/path/{id}"'),
        ('"GET /price/{tenant}/prices" = "guest"', "write public, session, anonymous, customer, or"),
        ('"GET /price/{tenant}/prices" = "public fast"', "write browser-cache, chat-session, live-only"),
        ('"GET /price/{tenant}/prices" = true', 'write "GET,POST /service/{tenant}/path/{id}"'),
        ('"GET /x/{tenant}/y" = "on"', 'write its token in place of "on"'),
    ],
)
def test_a_bad_line_is_quoted_and_told_how_to_be_written(line: str, how: str) -> None:
    (mistake,) = mistakes('"GET /product/{tenant}/products" = "off"', line)
    assert line in mistake
    assert how in mistake


def test_a_bad_line_that_is_no_toml_is_named_by_its_number() -> None:
    (mistake,) = mistakes("", "# a comment", 'GET /price/{tenant}/prices = "on"')
    assert mistake.startswith('line 4, GET /price/{tenant}/prices = "on": not TOML')


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("routes = 1", "must be a table"),
        ("[route]", "only \\[routes\\]"),
        (
            '"GET /price/{tenant}/prices" = "on"',
            'GET /price/{tenant}/prices": must stand below a line \\[routes\\]',
        ),
    ],
)
def test_other_tables_are_refused(text: str, part: str) -> None:
    with pytest.raises(RouteTableError, match=part):
        load_route_table(TENANT, text)


def test_a_wildcard_stands_for_one_segment_to_eight() -> None:
    table = extended('"POST /cloud-functions/{tenant}/functions/quotes/**" = "session"')
    for count in range(1, 9):
        path = "/cloud-functions/acmeshop/functions/quotes" + "/x" * count
        assert match("POST", path, table).route.template.endswith("/functions/quotes/**")
    for method, rest in (("POST", ""), ("POST", "/x" * 9), ("GET", "/x"), ("POST", "2/x")):
        with pytest.raises(RouteNotAllowed):
            match(method, f"/cloud-functions/acmeshop/functions/quotes{rest}", table)
    with pytest.raises(Forbidden):
        match("POST", "/cloud-functions/othershop/functions/quotes/x", table)


def test_the_wildcard_of_the_reference_is_switched_on_as_it_stands() -> None:
    table = extended('"GET,POST /cloud-functions/{tenant}/functions/{functionId}/**" = "on"')
    found = match("POST", "/cloud-functions/acmeshop/functions/f1/a/b", table)
    assert (found.tenant, found.route.token) == (TENANT, TokenKind.SESSION)
    with pytest.raises(RouteNotAllowed):
        match("DELETE", "/cloud-functions/acmeshop/functions/f1/a/b", table)


def test_a_wildcard_opens_nothing_that_another_entry_refuses() -> None:
    table = extended(
        '"GET,POST,PUT,PATCH,DELETE /shipping/{tenant}/{site}/**" = "session"',
        '"GET,POST,PUT,PATCH,DELETE /schema/{tenant}/{what}/{id}/**" = "session"',
        '"GET,POST,PUT,PATCH,DELETE /cart/{tenant}/carts/{cartId}/**" = "session"',
    )
    assert match("GET", "/cart/acmeshop/carts/c1/anything/at/all", table).route.template.endswith("**")
    for section in ("opt-in", "never"):
        for method, template, _ in operations(section):
            with pytest.raises(RouteNotAllowed):
                match(method, example(template), table)


def test_a_more_exact_entry_counts_before_a_wildcard_of_its_shape() -> None:
    wild, exact = "/a/{t}/b/{c}/**", "/a/{t}/b/{c}/{d}"
    for routes, refused in (([wild], [exact]), ([exact], [wild])):
        table = RouteTable(
            TENANT, [Route("GET", one, TokenKind.PUBLIC) for one in routes], [("GET", one) for one in refused]
        )
        if routes == [exact]:
            assert match("GET", "/a/x/b/c/d", table).route.template == exact
        else:
            with pytest.raises(RouteNotAllowed):
                match("GET", "/a/x/b/c/d", table)


def test_of_two_wildcards_of_one_shape_the_refused_one_counts() -> None:
    route = Route("GET", "/a/{t}/b/{c}/**", TokenKind.PUBLIC)
    table = RouteTable(TENANT, [route], [("GET", "/a/{t}/b/**")])
    with pytest.raises(RouteNotAllowed):
        match("GET", "/a/x/b/c/d", table)


@pytest.mark.parametrize(
    ("allowed", "refused"), [("/a/{x}", "/{y}/b"), ("/{y}/b", "/a/{x}"), ("/a/{x}/c", "/a/b/{z}")]
)
def test_what_an_allowed_and_a_refused_entry_share_is_refused(allowed: str, refused: str) -> None:
    table = RouteTable(TENANT, [Route("GET", allowed, TokenKind.PUBLIC)], [("GET", refused)])
    with pytest.raises(RouteNotAllowed):
        match("GET", "/a/b/c" if allowed.endswith("c") else "/a/b", table)


def test_only_the_ai_routes_take_the_clients_session_id() -> None:
    table = extended(*[f'"{key}" = "on"' for key in DOCUMENT["opt-in"]])
    chats = {route.template for route in table.routes() if route.chat_session}
    assert chats == {
        f"/ai-service/{{tenant}}/agentic/{rest}"
        for rest in ("chat", "chat-async", "chat-stream", "{agentId}/attachments")
    }
    assert not [route for route in table.routes() if route.chat_session and route.session_id]


@pytest.mark.parametrize(
    ("method", "path", "saas_token"),
    [
        ("GET", "/shoppinglist/acmeshop/shopping-lists", "optional"),
        ("POST", "/quote/acmeshop/quotes", "optional"),
        ("GET", "/customer-segment/acmeshop/segments/me", "no"),
    ],
)
def test_newer_routes(method: str, path: str, saas_token: str) -> None:
    found = match(method, path).route
    assert (found.token, found.saas_token) == (TokenKind.CUSTOMER, saas_token)
    assert "{segmentId}" not in found.template


TEMPLATES = st.lists(st.sampled_from(["a", "b", "{p}"]), min_size=1, max_size=4).map(
    lambda s: "/" + "/".join(s)
)


def matches(template: str, path: str) -> bool:
    pattern, parts = segments(template), segments(path)
    return len(pattern) == len(parts) and all(p in ("{p}", s) for p, s in zip(pattern, parts, strict=True))


def dominates(one: str, other: str) -> bool:
    pairs = zip(segments(one), segments(other), strict=True)
    return all(a != "{p}" or b == "{p}" for a, b in pairs)


@given(
    allowed=st.sets(TEMPLATES, max_size=6),
    refused=st.sets(TEMPLATES, max_size=6),
    path=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(lambda s: "/" + "/".join(s)),
)
def test_an_allowed_route_matches_only_if_it_is_as_literal_as_every_refused_one(
    allowed: set[str], refused: set[str], path: str
) -> None:
    refused -= allowed
    table = RouteTable(
        TENANT,
        [Route("GET", template, TokenKind.PUBLIC) for template in allowed],
        [("GET", template) for template in refused],
    )
    try:
        matched = match("GET", path, table).route.template
    except RouteNotAllowed:
        matching = [t for t in allowed if matches(t, path)]
        assert not matching or any(matches(t, path) for t in refused)
        return
    assert matched in allowed
    assert matches(matched, path)
    assert all(dominates(matched, other) for other in refused if matches(other, path))
    assert not any(matches(t, path) and t != matched and dominates(t, matched) for t in allowed)
