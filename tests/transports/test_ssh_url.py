"""Reading and writing ``ssh://`` URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.transports.address import Address, parse
from nbrpc.transports.ssh_url import FarSide


@pytest.mark.parametrize(
    ("url", "host", "port", "far"),
    [
        ("ssh://gpu-box", "gpu-box", None, FarSide()),
        ("ssh://gpu-box/", "gpu-box", None, FarSide()),
        ("SSH://GPU_box", "GPU_box", None, FarSide()),
        ("ssh://ada@10.0.0.7:2222", "10.0.0.7", 2222, FarSide("ada")),
        ("ssh://ada@uni.example@[fe80::1]:22", "fe80::1", 22, FarSide("ada@uni.example")),
        ("ssh://[::1]", "::1", None, FarSide()),
        ("ssh://h/driver:Stage", "h", None, FarSide(target="driver:Stage")),
        ("ssh://h/lab.driver:Rig.stage", "h", None, FarSide(target="lab.driver:Rig.stage")),
        (
            "ssh://h?python=~/env/bin/python&cwd=/a%20b",
            "h",
            None,
            FarSide(python="~/env/bin/python", cwd="/a b"),
        ),
    ],
)
def test_urls_are_read(url, host, port, far):
    """Each way to write one gives its parts; upper case means something to ssh."""
    assert parse(url) == Address("ssh", host, port, far=far)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ssh://", "names no valid host"),
        ("ssh://-oProxyCommand=touch", "names no valid host"),
        ("ssh://h;touch", "names no valid host"),
        ("ssh://$(touch)", "names no valid host"),
        ("ssh://h%20-l", "names no valid host"),
        ("ssh://h\nx", "names no valid host"),
        ("ssh://[::1%25eth0;x]", "no valid IPv6 address"),
        ("ssh://[::1]x", "no valid port"),
        ("ssh://h:0", "no valid port"),
        ("ssh://h:65536", "no valid port"),
        ("ssh://h:22x", "no valid port"),
        ("ssh://h:", "no valid port"),
        ("ssh://h:٢٢", "no valid port"),
        ("ssh://-l@h", "no valid user name"),
        ("ssh://a b@h", "no valid user name"),
        ("ssh://@h", "no valid user name"),
        ("ssh://$USER@h", "no valid user name"),
        ("ssh://ada:SECRET@h", "has a password"),
        ("ssh://h/driver", "names nothing to serve"),
        ("ssh://h/--classic", "names nothing to serve"),
        ("ssh://h/a:b%20--allow-code", "names nothing to serve"),
        ("ssh://h/a/b:c", "names nothing to serve"),
        ("ssh://h?python=-c", "has a python that is no path"),
        ("ssh://h?cwd=", "has a cwd that is no path"),
        ("ssh://h?cwd=/a%0Ab", "has a cwd that is no path"),
        ("ssh://h?cwd=/a&cwd=/b", "has cwd twice"),
        ("ssh://h?token=SECRET", "over ssh none is needed"),
        ("ssh://h?pyton=/usr/bin/python", "unknown parameter 'pyton'"),
    ],
)
def test_what_may_not_stand_there(url, reason):
    """What ssh or a shell could take for something else is refused, and secrets are not shown."""
    with pytest.raises(ValueError, match=reason) as caught:
        parse(url)
    assert "SECRET" not in str(caught.value)


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)
paths = st.one_of(st.none(), texts.map("/{}".format), texts.map("~/{}".format))
words = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@given(
    host=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    port=st.one_of(st.none(), st.integers(1, 65_535)),
    user=st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,9}", fullmatch=True)),
    target=st.one_of(st.none(), st.tuples(words, words).map(":".join)),
    python=paths,
    cwd=paths,
)
def test_addresses_survive_their_url(host, port, user, target, python, cwd):
    """Writing one and reading it again gives the same one."""
    address = Address("ssh", host, port, far=FarSide(user, target, python, cwd))
    assert parse(address.url) == address
    assert address.url_with_token == address.url
