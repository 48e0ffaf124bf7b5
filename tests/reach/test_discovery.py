"""Servers that announce themselves: what is told, what is believed, and what is done with it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from zeroconf import ServiceInfo, Zeroconf

import nbrpc
from nbrpc.errors import ConnectFailed, NbrpcError
from nbrpc.notebook.connections import Connections, find
from nbrpc.reach import discovery
from nbrpc.reach.discovery import Announced, Announcement, Neighbourhood, addresses, interfaces
from nbrpc.transports.address import Address, parse
from tests.support import eventually

FINGERPRINT = f"sha256:{'ab' * 32}"


def run(*arguments, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "nbrpc", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def announced(name, timeout=15.0):
    """Look until a server of that name announces itself; give what it says."""

    def found():
        return [server for server in Neighbourhood().look() if server.name == name]

    return eventually(found, timeout)[0]


@pytest.fixture
def strangers():
    """Announce anything at all on the loopback interface."""
    network = Zeroconf(interfaces=["127.0.0.1"])

    def announce(number, properties):
        info = ServiceInfo(
            discovery.TYPE,
            f"{number}.{discovery.TYPE}",
            port=4711,
            properties=properties,
            server="\x1b[2Jstranger.local.",
            parsed_addresses=["127.0.0.1"],
        )
        network.register_service(info)

    def announce_all(*several):
        with ThreadPoolExecutor(len(several)) as pool:  # each takes a second
            list(pool.map(announce, range(len(several)), several))

    yield announce_all
    network.close()


class TestAnnouncing:
    """``nbrpc serve --announce`` and ``nbrpc list --network``."""

    @pytest.mark.parametrize("encryption", [[], ["--tls-self-signed"]])
    def test_a_server_is_found(self, served, encryption):
        """It is listed with a URL that a client who has the token connects to; the token is not."""
        server = served("nbrpc.demo:Bench", "--name", "far bench", "--announce", *encryption)
        address = parse(server.url)
        eventually(lambda: "announced to this machine only" in server.printed, 15)
        seen = announced("far bench")
        assert seen.url == address.with_token(None).url_with_token
        assert seen.tls == bool(encryption)
        assert address.token not in repr(seen)
        listed = run("list", "--network")
        assert listed.returncode == 0, listed.stderr
        head, row = listed.stdout.splitlines()
        assert re.split(" {2,}", head) == ["NAME", "URL", "TLS", "HOST"]
        tls, host = "yes" if encryption else "no", socket.gethostname().partition(".")[0]
        assert re.split(" {2,}", row) == ["far bench", seen.url, tls, host]
        assert "a server's token shows that it is yours" in listed.stderr
        with nbrpc.connect(seen.url, token=address.token) as conn:
            assert conn.root.voltage == 1

    def test_nothing_secret_is_sent(self, strangers):
        """What goes over the network has neither the token nor the name of a user."""
        address = Address.tcp("127.0.0.1", 4712, "the-secret-token")
        heard = bytearray()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("224.0.0.251", 5353))
            member = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            listener.settimeout(0.05)
            with Announcement("quiet", address):
                deadline = time.monotonic() + 10
                while b"quiet on" not in heard and time.monotonic() < deadline:
                    try:
                        heard += listener.recv(9000)
                    except TimeoutError:
                        continue
        assert b"quiet on" in heard
        assert b"secret" not in heard

    def test_it_ends_with_the_server(self, served):
        """SIGTERM takes the announcement back; who looks finds nothing, and that is no error."""
        server = served("nbrpc.demo:Bench", "--name", "short", "--announce")
        announced("short")
        server.stop()
        listed = run("list", "--network")
        assert (listed.returncode, listed.stdout) == (0, "")
        assert listed.stderr == "no server announces itself: nbrpc serve --announce does\n"

    def test_two_of_one_name(self):
        """Both are found, whatever they are called."""
        first = Announcement("twin.of me", Address.tcp("127.0.0.1", 4713))
        with first, Announcement("twin.of me", Address.tcp("127.0.0.1", 4714)):
            found = [server for server in Neighbourhood().look() if server.name == "twin.of me"]
        assert [server.url[-4:] for server in found] == ["4713", "4714"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["serve", "nbrpc.demo:Bench", "--announce", "--unix", "/x"], "--announce needs a por"),
            (["list", "--network", "--sessions"], "give either --sessions or --network"),
        ],
    )
    def test_mistakes(self, arguments, said):
        """Each is one sentence."""
        ended = run(*arguments)
        assert ended.returncode == 2
        assert said in ended.stderr
        assert len(ended.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        "arguments",
        [["serve", "nbrpc.demo:Bench", "--port", "0", "--announce"], ["list", "--network"]],
    )
    def test_without_zeroconf(self, tmp_path, arguments):
        """Where it is not installed, one sentence says so and what to do."""
        code = (
            "import sys; sys.modules['zeroconf'] = None\n"
            "from nbrpc.app import main; sys.exit(main())"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert ended.stderr.endswith("needs zeroconf: pip install 'nbrpc[discovery]'\n")

    def test_where_it_is_announced(self, monkeypatch):
        """A server of this machine is announced there only, any other where the user says."""
        assert interfaces("127.0.0.1") == interfaces("localhost") == interfaces() == ["127.0.0.1"]
        monkeypatch.setenv("NBRPC_INTERFACES", "192.0.2.1, 127.0.0.1")
        assert interfaces("127.0.0.1") == ["127.0.0.1"]
        assert interfaces("0.0.0.0") == ["192.0.2.1", "127.0.0.1"]
        monkeypatch.delenv("NBRPC_INTERFACES")
        assert interfaces("::1") == ["127.0.0.1"]
        assert interfaces("192.0.2.1").name == "All"
        for wrong in ("", "eth0", "192.0.2.1"):
            monkeypatch.setenv("NBRPC_INTERFACES", wrong)
            with pytest.raises(NbrpcError, match="NBRPC_INTERFACES is"):
                interfaces("127.0.0.1")
        assert addresses("192.0.2.7") == ["192.0.2.7"]
        assert addresses("localhost")[0] in ("127.0.0.1", "::1")
        everywhere = addresses("0.0.0.0")
        assert everywhere
        assert "0.0.0.0" not in everywhere
        with pytest.raises(NbrpcError, match="Unix socket"):
            Announcement("x", Address.unix("/tmp/x"))


class TestStrangers:
    """What anybody on the network may say."""

    def test_hostile_text(self, strangers):
        """Names obey no terminal, are one short line, and what makes no sense is left out."""
        strangers(
            {"name": "\x1b]0;owned\x07ev\x1b[31mil\n\u202eNAME\u200b" + "x" * 150},
            {"name": "split", "fingerprint": "sha256:no"},
            {"name": b"\xff\xfe\r"},
            {},
            {"name": "tidy", "fingerprint": FINGERPRINT},
        )
        ended = run("list", "--network")
        assert ended.returncode == 0, ended.stderr
        table = ended.stdout
        assert "tidy" in table
        assert "split" not in table
        assert len(table.splitlines()) == 4
        assert all(character.isprintable() or character == "\n" for character in table)
        assert max(len(line.split("  ")[0]) for line in table.splitlines()) <= discovery.LONGEST

    def test_a_crowd(self, strangers, monkeypatch):
        """Only so many are taken note of."""
        strangers(*({"name": f"one of {number}"} for number in range(5)))
        assert len(Neighbourhood().look()) == 5
        monkeypatch.setattr(discovery, "MOST", 2)
        assert len(Neighbourhood().look()) == 2

    def test_a_name_is_not_enough(self):
        """A name from the network is connected to with a token and over TLS only, or by its URL."""
        plain = Announced("lab", "nbrpc://192.0.2.9:1", "h", tls=False)
        secure = Announced("lab", f"nbrpcs://192.0.2.9:1/?fingerprint={FINGERPRINT}", "h", tls=True)
        here = Announced("lab", "nbrpc://127.0.0.1:1", "h", tls=False)

        def found(token, *known):
            around = SimpleNamespace(known=list(known), look=lambda: list(known))
            return find("lab", token, around)

        assert found("secret", secure) == secure.url
        assert found("secret", here) == here.url
        for token, known, said in [
            (None, [secure], "give its --token, or its URL, nbrpcs://192.0.2.9:1"),
            ("secret", [plain], "lab on the network is not encrypted; give its URL"),
            ("secret", [secure, here], "several servers on the network are called lab"),
            ("secret", [], "no running server of yours is called lab; none is running"),
        ]:
            with pytest.raises(ConnectFailed, match=re.escape(said)):
                found(token, *known)

    def test_a_liar_is_refused(self, served, serving):
        """Who announces the name of another server does not hold its token, and is found out."""
        mine = served("nbrpc.demo:Bench", "--tls-self-signed", "--name", "elsewhere")
        token = parse(mine.url).token
        liar = serving(SimpleNamespace(size=1), token="another")
        opened = []

        def connect(url, token, session):
            opened.append(url)
            return nbrpc.connect(url, token=token)

        with Announcement("lab", liar.address):
            connections = Connections(connect)
            with (
                pytest.raises(nbrpc.AuthenticationFailed),
                connections.connecting("lab", "conn", token),
            ):
                pass
        assert opened == [liar.url]


class TestLooking:
    """Looking around for Tab, which must not wait."""

    def test_it_does_not_wait(self):
        """The first look gives what has come so far; a later one what came meanwhile."""
        around = Neighbourhood()
        with Announcement("near", Address.tcp("127.0.0.1", 4715)):
            begun = time.monotonic()
            around.look(0.05)
            assert time.monotonic() - begun < discovery.BROWSING
            assert eventually(lambda: around.look(0.05), 10)[0].name == "near"
            threads = threading.active_count()
            around.look(0.0)
            assert threading.active_count() <= threads  # it is asked once in a while only
        around.look()

    def test_nowhere_to_look(self, monkeypatch):
        """With no interface nothing is asked, and the reason is known."""
        monkeypatch.setenv("NBRPC_INTERFACES", "")
        around = Neighbourhood()
        assert around.look() == []
        assert "NBRPC_INTERFACES" in around.problem
        ended = run("list", "--network")
        assert ended.returncode == 1
        assert ended.stderr.startswith("nbrpc: NBRPC_INTERFACES is ''")
