"""Reading and writing the addresses of servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.transports.address import DEFAULT_PORT, Address, parse

PRINT = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nbrpc://bench:18861", Address.tcp("bench", 18861)),
        ("nbrpc://bench:18861/", Address.tcp("bench", 18861)),
        ("nbrpc://bench/?token=abc", Address.tcp("bench", DEFAULT_PORT, "abc")),
        ("NBRPC://Bench:1?token=a%2Fb", Address.tcp("bench", 1, "a/b")),
        (" nbrpc://127.0.0.1:5/?token=x\n", Address.tcp("127.0.0.1", 5, "x")),
        ("nbrpc://[::1]:5", Address.tcp("::1", 5)),
        ("[::1]:5", Address.tcp("::1", 5)),
        ("localhost:18871", Address.tcp("localhost", 18871)),
        ("localhost:18871/?token=x", Address.tcp("localhost", 18871, "x")),
        (
            f"nbrpcs://bench:5/?token=x&fingerprint={PRINT}",
            Address("nbrpcs", "bench", 5, token="x", fingerprint=PRINT),
        ),
        (
            f"nbrpcs://bench:5?fingerprint=SHA256:{':'.join(['0A'] * 32)}",
            Address("nbrpcs", "bench", 5, fingerprint=PRINT),
        ),
        ("unix:///run/user/0/a%20b", Address.unix("/run/user/0/a b")),
        ("unix:///run/bench?token=x", Address.unix("/run/bench", "x")),
        ("ws://bench:5", Address("ws", "bench", 5, target="/")),
        ("ws://bench", Address("ws", "bench", 80, target="/")),
        ("ws://[::1]:5?token=x", Address("ws", "::1", 5, token="x", target="/")),
        (
            f"wss://bench/proxy/5/?a=%20&token=x%2F&b&fingerprint={PRINT}",
            Address("wss", "bench", 443, None, "x/", PRINT, target="/proxy/5/?a=%20&b"),
        ),
        (
            "https://hub/user/ada/nbrpc/ws/a%20b",
            Address("https", "hub", 443, target="/user/ada/nbrpc/ws/a%20b"),
        ),
        ("http://127.0.0.1:8888/?x=1", Address("http", "127.0.0.1", 8888, target="/?x=1")),
    ],
)
def test_urls_are_read(url: str, expected: Address) -> None:
    """Each way to write an address gives its parts."""
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("bench", "not an address"),
        ("::1", "not an address"),
        ("", "not an address"),
        ("ftp://host:1", "unknown scheme"),
        ("nbrpc://host:port", "no valid host and port"),
        ("nbrpc://host:70000", "no valid host and port"),
        ("nbrpc://host:0", "port 0"),
        ("nbrpc://:18861", "names no host"),
        ("nbrpc://[::1:5", "no valid host and port"),
        ("nbrpc://me@host:1", "mean nothing"),
        ("nbrpc://host:1/path", "mean nothing"),
        ("nbrpc://host:1/#part", "mean nothing"),
        ("nbrpc://ho st:1", "names no host"),
        ("nbrpc://host:1/?tokn=x", "unknown parameter 'tokn'"),
        ("nbrpc://host:1/?token=", "empty token"),
        ("nbrpc://host:1/?token=x&token=y", "two tokens"),
        ("nbrpcs://host:1/?fingerprint=sha256:0", "is no fingerprint"),
        (f"nbrpcs://host:1/?fingerprint=sha1:{'0' * 64}", "is no fingerprint"),
        (f"nbrpcs://host:1/?fingerprint={PRINT}&fingerprint={PRINT}", "two fingerprints"),
        (f"nbrpc://host:1/?fingerprint={PRINT}", "which TLS needs: write nbrpcs://"),
        (f"unix:///run/x?fingerprint={PRINT}", "a Unix socket has no use for"),
        (f"ws://host:1/?fingerprint={PRINT}", "which TLS needs: write wss://"),
        ("wss://me@host/path", "mean nothing"),
        ("wss://host/a b", "a space or a #"),
        ("wss://host/a#b", "a space or a #"),
        ("wss://host/a\r\nOrigin: b", "a space or a #"),
        ("https:///path", "names no host"),
        ("https://host/path?token=", "empty token"),
        ("unix://run/bench", "three slashes"),
        ("unix:///run/%00", "null byte"),
    ],
)
def test_mistakes_are_told(url: str, reason: str) -> None:
    """What is wrong with an address is said in words."""
    with pytest.raises(ValueError, match=reason):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "nbrpc://host:port/?token=SECRET",
        "nbrpc://me:SECRET@host:1/",
        "nbrpc://host:1/?token=SECRET&token=SECRET",
        "host?token=SECRET",
        "ftp://SECRET@host?token=SECRET",
        "unix://x?token=SECRET",
        "nbrpc://host:1/x?token=SECRET",
        "nbrpc://[host:1/?token=SECRET",
        "https://host/path?key=SECRET#",
        "wss://me:SECRET@host/path",
    ],
)
def test_mistakes_never_show_the_token(url: str) -> None:
    """The message of a refused address holds nothing of its secret, nor does its cause."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is tested
        parse(url)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_token_is_shown_on_demand_only() -> None:
    """Repr, str and url leave the token out; one property has it."""
    for address in (Address.tcp("::1", 5, "SECRET"), Address.unix("/a b", "SECRET")):
        for text in (repr(address), str(address), address.url, address.name, f"{address}"):
            assert "SECRET" not in text
    assert Address.tcp("::1", 5, "S/").url_with_token == "nbrpc://[::1]:5/?token=S%2F"
    assert Address.unix("/a b", "S").url_with_token == "unix:///a%20b?token=S"
    assert Address.tcp("h", 5).url_with_token == "nbrpc://h:5"
    relayed = parse("https://hub/ws/x?key=SECRET&token=S")
    for text in (repr(relayed), str(relayed), relayed.url, relayed.name):
        assert "SECRET" not in text
    assert relayed.url == "https://hub/ws/x"
    assert relayed.url_with_token == "https://hub/ws/x?key=SECRET&token=S"


def test_names_are_short() -> None:
    """People see host and port, or the path."""
    assert Address.tcp("[::1]", 5).name == "[::1]:5"
    assert Address.unix("/run/bench").name == "/run/bench"
    assert Address.tcp("h", 5).with_token("t").token == "t"


hosts = st.one_of(
    st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9\-]{0,20}", fullmatch=True)
)
tokens = st.one_of(st.none(), st.text(min_size=1).filter(lambda text: text.isprintable()))


@given(host=hosts, port=st.integers(1, 65_535), token=tokens)
def test_tcp_addresses_survive_their_url(host: str, port: int, token: str | None) -> None:
    """Writing an address and reading it again gives the same one."""
    address = Address.tcp(host, port, token)
    assert parse(address.url_with_token) == address


@given(
    scheme=st.sampled_from(["ws", "wss", "http", "https"]),
    host=hosts,
    port=st.integers(1, 65_535),
    target=st.from_regex(
        r"/[a-z/%.:0-9]{0,20}(\?[a-z]=[a-z0-9%]{0,5}(&[a-z]=?){0,2})?", fullmatch=True
    ),
    token=tokens,
)
def test_web_addresses_survive_their_url(
    scheme: str, host: str, port: int, target: str, token: str | None
) -> None:
    """So do those of WebSockets, with their path and query as they were."""
    address = Address(scheme, host, port, token=token, target=target)
    assert parse(address.url_with_token) == address


paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map("/{}".format)


@given(path=paths, token=tokens)
def test_unix_addresses_survive_their_url(path: str, token: str | None) -> None:
    """The same for paths, whatever characters they are made of."""
    address = Address.unix(path, token)
    assert parse(address.url_with_token) == address


def test_a_path_may_be_of_any_bytes():
    """The name of a file that is no text is the same again in its URL."""
    address = parse("unix:///run/\udcff%80.sock")
    assert address.path == "/run/\udcff\udc80.sock"
    assert parse(address.url) == address


def test_a_token_is_text():
    """A token or fingerprint with half a character could not be sent, and is not shown either."""
    for url in ("nbrpc://h:1/?token=a\udcff", "wss://h/?fingerprint=\ud800"):
        with pytest.raises(ValueError, match="that is no text: copy the whole URL") as caught:
            parse(url)
        assert "\\u" not in ascii(str(caught.value))
