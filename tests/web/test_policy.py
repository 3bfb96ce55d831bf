"""Who may ask: the list of attacks on a local server, each refused, and honest clients let in."""

import pytest

from striate.web.policy import Policy, policy_for

TOKEN = "a-secret"
PAGE = Policy(token=TOKEN)
SERVER = Policy(token=TOKEN, trusts_programs=True)
PUBLIC = policy_for("0.0.0.0", TOKEN, names=["Models.example"], open_paths=["/health"])
OWN = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


def status(policy, method="GET", path="/", **headers):
    found = {"host": "127.0.0.1:8000"} | {k.replace("_", "-"): v for k, v in headers.items()}
    pairs = [(k.encode(), v.encode()) for k, v in found.items() if v is not None]
    refusal = policy.refusal(method, path, pairs)
    return refusal and refusal.status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000", "[::1]"]
)
def test_the_hosts_of_this_machine_are_known(host):
    assert status(PAGE, host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "127.0.0.1:8000@evil.example",
        "10.0.0.1:8000",
        "localhost.",
        "",
        "[::1",
        "[::1]:8000:1",
        "[::ffff:127.0.0.1]",
        "2130706433",
        None,
    ],
)
def test_a_rebound_name_is_refused(host):
    assert status(SERVER, host=host) == 421
    assert status(SERVER, "POST", host=host, **BEARER) == 421


def test_two_host_headers_are_refused():
    pairs = [(b"host", b"127.0.0.1:8000"), (b"host", b"evil.example")]
    assert PAGE.refusal("GET", "/", pairs).status == 421


@pytest.mark.parametrize("policy", [PAGE, SERVER])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"origin": "http://[broken"},
        {"origin": ""},
        {"origin": "file://"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:8000"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_a_page_of_another_site_changes_nothing_even_with_the_token(policy, headers, method):
    assert status(policy, method, **headers, **BEARER) == 403


def test_a_page_of_another_site_reads_nothing_but_its_links_work():
    assert status(PAGE, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert status(PAGE, sec_fetch_site="cross-site", sec_fetch_mode="cors") == 403
    assert status(PAGE, sec_fetch_site="cross-site") == 403
    assert status(PAGE, sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None
    assert status(PAGE, sec_fetch_site="none", sec_fetch_mode="navigate") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_what_is_no_get_needs_the_token(method):
    assert status(PAGE, method) == 401
    assert status(PAGE, method, **OWN) == 401
    assert status(PAGE, method, **OWN, **BEARER) is None
    assert status(PAGE, method, **OWN, x_striate_token=TOKEN) is None


@pytest.mark.parametrize(
    "shown",
    [
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"x_striate_token": ""},
        {"x_striate_token": "ü\xff"},
        {"cookie": f"token={TOKEN}"},
    ],
)
def test_a_wrong_token_is_none(shown):
    assert status(PAGE, "POST", **shown) == 401
    assert status(PUBLIC, host="10.0.0.1", **shown) == 401


def test_programs_of_this_machine_need_no_token_where_they_are_trusted():
    assert status(SERVER, "POST") is None
    assert status(SERVER, "POST", **OWN) == 401
    assert status(SERVER, "POST", sec_fetch_site="none") == 401


def test_an_address_of_the_network_needs_a_token():
    assert policy_for("0.0.0.0", None) is None
    assert policy_for("192.168.1.5", "") is None
    assert policy_for("example.org", None) is None
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert policy_for(host, None) is not None


def test_on_the_network_reading_needs_the_token_too():
    assert status(PUBLIC, host="10.0.0.1") == 401
    assert status(PUBLIC, host="10.0.0.1", path="/health") is None
    assert status(PUBLIC, "POST", host="10.0.0.1", path="/health") == 401
    assert status(PUBLIC, host="10.0.0.1:8000", **BEARER) is None
    assert status(PUBLIC, host="[fe80::1]:80", **BEARER) is None
    assert status(PUBLIC, host="models.example", **BEARER) is None
    assert status(PUBLIC, host="evil.example", **BEARER) == 421


def test_a_token_that_was_given_is_asked_for_on_a_loopback_address_too():
    policy = policy_for("127.0.0.1", TOKEN, trusts_programs=True)
    assert status(policy) == status(policy, "POST") == 401
    assert status(policy, "POST", **BEARER) is None


def test_tokens_that_are_made_up_differ():
    made = {policy_for("127.0.0.1", None).token for _ in range(3)}
    assert len(made) == 3 and all(len(token) > 30 for token in made)
