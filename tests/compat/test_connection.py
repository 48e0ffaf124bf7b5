"""The connection of RPyC's names: its configuration, its private names, its requests by number."""

from __future__ import annotations

import socket
import threading
import time

import pytest

import nbrpc
from nbrpc.compat.exceptions import custom_errors
from nbrpc.compat.table import module_for
from nbrpc.objects.proxy import is_proxy
from nbrpc.protocol.messages import Error
from tests.support import eventually

rpyc = module_for("rpyc")
consts = module_for("rpyc.core.consts")


class Custom(Exception):
    """An exception of this module."""


class Taking(Custom):
    """One whose constructor takes something else than its arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Thing:
    def __init__(self):
        self.public = 1

    def exposed_double(self, value):
        return value * 2

    def __len__(self):
        return 3

    def __iter__(self):
        return iter("abc")


class Things(rpyc.Service):
    def __init__(self):
        self.only = Thing()

    def exposed_thing(self):
        return self.only

    def exposed_wait(self, seconds):
        time.sleep(seconds)  # what the service does
        return seconds

    def exposed_fail(self, kind):
        raise {"custom": Custom, "taking": Taking, "value": ValueError}[kind](*"ab")

    exposed_custom = Custom

    def exposed_run(self, callback):
        return callback()

    def exposed_look(self, thing):
        return thing.public

    def exposed_echo(self, *args):
        return args


@pytest.fixture
def conn():
    """A connection to a server in this process."""
    with rpyc.connect_thread(remote_service=Things) as connection:
        yield connection


def connection(**config):
    """Give a connection with this configuration."""
    return rpyc.connect_thread(config=config, remote_service=Things)


class TestConfiguration:
    """``conn._config`` and what is given to the factories."""

    def test_the_default_deadline_is_30_seconds(self, conn):
        """As in RPyC, for calls of either side; none where None is given."""
        assert conn._config["sync_request_timeout"] == 30
        assert conn.session.timing.call == 30
        with connection(sync_request_timeout=None) as other:
            assert other.session.timing.call is None

    def test_a_deadline_can_be_set_later(self, conn):
        """What is written into the configuration holds from then on."""
        conn.root.echo()
        conn._config["sync_request_timeout"] = 0.05
        with pytest.raises(TimeoutError):
            conn.root.wait(0.5)
        conn._config.update(sync_request_timeout=None)
        assert conn.root.wait(0.1) == 0.1
        conn._config["sync_request_timeout"] = -1
        assert conn.session.timing.call is None

    def test_access_can_be_opened_later(self, conn):
        """The peer may do from then on what the configuration says."""
        with pytest.raises(AttributeError):
            conn.root.look(Thing())
        conn._config.update({"allow_public_attrs": True})
        assert conn.root.look(Thing()) == 1

    def test_a_service_may_open_access_as_it_connects(self):
        """Programs change ``conn._config`` in on_connect."""

        class Opening(Things):
            def on_connect(self, conn):
                conn._config.update(allow_all_attrs=True, allow_setattr=True)

        with rpyc.connect_thread(remote_service=Opening) as conn:
            thing = conn.root.thing()
            thing.public = 7
            assert thing.public == 7

    def test_unknown_keys_are_ignored(self):
        """RPyC takes any key."""
        with connection(my_own_key=5) as conn:
            assert conn._config["my_own_key"] == 5

    def test_the_defaults_of_the_program(self, monkeypatch):
        """Programs change DEFAULT_CONFIG, and mean all connections from then on."""
        defaults = module_for("rpyc.core.protocol").DEFAULT_CONFIG
        monkeypatch.setitem(defaults, "sync_request_timeout", 7)
        with connection() as conn:
            assert conn.session.timing.call == 7

    def test_before_closed(self):
        """It is called with the root, once, while the connection is open."""
        seen = []
        conn = connection(before_closed=lambda root: seen.append(root.echo(1)))
        conn.close()
        conn.close()
        assert seen == [(1,)]
        assert conn.closed

    def test_before_closed_fails(self):
        """What it raises comes out of close, or not where the configuration says so."""
        conn = connection(before_closed=lambda _root: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            conn.close()
        assert conn.closed
        conn = connection(before_closed=lambda _root: 1 / 0, close_catchall=True)
        conn.close()
        assert conn.closed


class TestExceptions:
    """GenericException, and classes that both sides have."""

    def test_unknown_classes_are_generic(self, conn):
        """Builtin ones are not, so each except clause catches what it does in RPyC."""
        with pytest.raises(rpyc.GenericException) as caught:
            conn.root.fail("custom")
        assert caught.value.args == ("a", "b")
        with pytest.raises(ValueError) as builtin:  # noqa: PT011 - the class is the point
            conn.root.fail("value")
        assert not isinstance(builtin.value, rpyc.GenericException)

    def test_custom_classes(self):
        """Where it was asked for they are raised as what they are; no code of them runs."""
        with connection(instantiate_custom_exceptions=True) as conn:
            for kind, cls in (("custom", Custom), ("taking", Taking)):
                with pytest.raises(cls) as caught:
                    conn.root.fail(kind)
                assert isinstance(caught.value, nbrpc.RemoteError)
                assert "Remote Traceback" in str(caught.value)
                assert type(caught.value).__name__ == cls.__name__

    def test_ours_are_made_again(self, conn):
        """What a callback raises arrives as any other exception of the peer, as in RPyC."""
        mine = Custom("mine")

        def callback():
            raise mine

        with pytest.raises(rpyc.GenericException) as caught:
            conn.root.run(callback)
        assert caught.value is not mine
        assert caught.value.args == ("mine",)

    def test_classes_are_proxies(self, conn):
        """A class of exceptions stays where it is, as in RPyC."""
        assert is_proxy(conn.root.custom)

    def test_other_things_of_a_module_are_no_exceptions(self):
        """A peer can name what it likes; only exceptions are made."""
        build = custom_errors({"instantiate_custom_exceptions": True})
        generic = rpyc.GenericException("x")
        for name in ("os.system", "builtins.SystemExit", "no.such", "sys.path", "x", ""):
            error = Error(type_name=name, args=[], text="", message="")
            assert build(error, generic) is generic


class TestPrivateNames:
    """What programs reach for."""

    def test_names(self, conn):
        """They are there, and say what they do in RPyC."""
        assert conn._remote_root is None
        root = conn.root
        assert conn._remote_root is root
        assert isinstance(conn._local_root, rpyc.VoidService)
        assert conn._closed is False
        assert conn._channel.closed is False
        assert conn._channel.stream.sock.fileno() == conn._channel.fileno()
        assert conn._config["endpoints"][1] == conn._channel.stream.sock.getpeername()
        assert isinstance(conn, rpyc.Connection)
        assert isinstance(conn, nbrpc.client.Connection)

    def test_a_closed_connection(self, conn):
        """It has no descriptor, and serves nothing."""
        conn.close()
        for use in (conn.fileno, lambda: conn.root, conn.ping, lambda: conn.serve(0)):
            with pytest.raises(EOFError):
                use()

    def test_breaking_the_channel(self, conn):
        """Closing it ends the connection."""
        conn._channel.close()
        assert conn.closed

    def test_serving_in_threads(self, conn):
        """serve_threaded serves until the connection ends."""
        thread = threading.Thread(target=conn.serve_threaded, args=(3,))
        thread.start()
        assert conn.root.echo(1) == (1,)
        conn.close()
        thread.join(5)
        assert not thread.is_alive()


class TestRequests:
    """sync_request and async_request, by the numbers of rpyc.core.consts."""

    def test_sync_requests(self, conn):
        """Each is what the proxy does."""
        ask = conn.sync_request
        root = ask(consts.HANDLE_GETROOT)
        thing = root.thing()
        double = ask(consts.HANDLE_GETATTR, thing, "double")
        assert ask(consts.HANDLE_CALL, double, (4,), ()) == 8
        assert ask(consts.HANDLE_CALL, double, (), (("value", 5),)) == 10
        assert ask(consts.HANDLE_CALLATTR, thing, "double", (6,)) == 12
        assert ask(consts.HANDLE_CALLATTR, thing, "__len__") == 3
        assert ask(consts.HANDLE_STR, thing) == str(thing)
        assert ask(consts.HANDLE_REPR, thing) == repr(thing)
        assert ask(consts.HANDLE_HASH, thing) == hash(thing)
        assert "double" in ask(consts.HANDLE_DIR, thing)
        assert ask(consts.HANDLE_CMP, thing, thing, "__eq__") is True
        assert ask(consts.HANDLE_BUFFITER, iter(thing), 2) == ("a", "b")
        assert ask(consts.HANDLE_PING, "data") == "data"
        with pytest.raises(AttributeError):
            ask(consts.HANDLE_CMP, thing, thing, "__setattr__")
        with pytest.raises(AttributeError):
            ask(consts.HANDLE_SETATTR, thing, "public", 1)
        for number in (consts.HANDLE_PICKLE, consts.HANDLE_INSPECT, 99):
            with pytest.raises(NotImplementedError):
                ask(number, thing)

    def test_async_requests(self, conn):
        """They give results, which may expire."""
        wait = conn.root.wait
        result = conn.async_request(consts.HANDLE_CALL, wait, (0.05,), ())
        assert result.value == 0.05
        assert conn.async_request(consts.HANDLE_GETROOT).value is conn.root
        slow = conn.async_request(consts.HANDLE_CALL, wait, (0.4,), (), timeout=0.05)
        with pytest.raises(rpyc.AsyncResultTimeout):
            slow.wait()
        with pytest.raises(TypeError):
            conn.async_request(consts.HANDLE_GETROOT, what=1)

    def test_requests_about_proxies(self, conn):
        """Both ways find the connection by themselves."""
        netref = module_for("rpyc.core.netref")
        thing = conn.root.thing()
        assert netref.syncreq(thing, consts.HANDLE_CALLATTR, "double", (2,)) == 4
        assert netref.asyncreq(thing, consts.HANDLE_DIR).value
        with pytest.raises(TypeError):
            netref.syncreq(5, consts.HANDLE_DIR)


class TestHelpers:
    """async_, timed, buffiter, BgServingThread."""

    def test_callbacks_of_results(self, conn):
        """They are called when the result arrives; at once, if it is there."""
        seen = []
        echo = rpyc.async_(conn.root.echo)
        assert rpyc.async_(echo) is echo
        result = echo(1)
        result.wait()
        result.add_callback(lambda result: seen.append(result.value))
        assert seen == [(1,)]
        assert echo.proxy == conn.root.echo
        with pytest.raises(TypeError):
            rpyc.async_(5)

    def test_timed(self, conn):
        """Its results expire."""
        wait = rpyc.timed(conn.root.wait, 0.05)
        assert wait.timeout == 0.05
        result = wait(0.5)
        with pytest.raises(TimeoutError):
            result.wait()
        assert result.expired
        with pytest.raises(TypeError):
            rpyc.timed(conn.root.wait, "soon")

    def test_serving_in_the_background(self, conn):
        """Events arrive at once; the callback tells of the end."""
        ended = threading.Event()
        serving = rpyc.BgServingThread(conn, ended.set)
        assert (serving.SERVE_INTERVAL, serving.SLEEP_INTERVAL) == (0.0, 0.1)
        conn._channel.close()
        assert ended.wait(5)
        serving.stop()

    def test_proxies(self, conn):
        """They are told from anything else, remote methods included."""
        thing = conn.root.thing()
        assert isinstance(thing, rpyc.BaseNetref)
        assert isinstance(thing.double, rpyc.BaseNetref)
        assert issubclass(type(thing), rpyc.BaseNetref)
        assert not isinstance(Thing(), rpyc.BaseNetref)
        assert not issubclass(Thing, rpyc.BaseNetref)
        assert rpyc.lib.get_id_pack(thing)[0].endswith("Thing")
        with pytest.raises(NotImplementedError):
            rpyc.BaseNetref(conn, ())


def test_both_sides_may_use_each_other():
    """The service of the client is the root of the server's connection."""
    seen = []

    class Client(rpyc.Service):
        def exposed_name(self):
            return "client"

    class Server(rpyc.Service):
        def on_connect(self, conn):
            self.conn = conn

        def exposed_ask(self):
            return self.conn.root.name()

        def on_disconnect(self, conn):
            seen.append(conn.closed)

    with rpyc.connect_thread(service=Client, remote_service=Server) as conn:
        assert conn.root.ask() == "client"
    eventually(lambda: seen == [True])


@pytest.mark.parametrize(
    ("connect", "error"),
    [
        (lambda: rpyc.connect("127.0.0.1", 1), ConnectionRefusedError),
        (lambda: rpyc.utils.factory.unix_connect("/no/such/socket"), FileNotFoundError),
        (lambda: rpyc.connect("no.such.host.invalid", 1), socket.gaierror),
    ],
)
def test_who_is_not_there(connect, error):
    """What the system says is what programs catch; it is nbrpc's error as well."""
    with pytest.raises(error) as caught:
        connect()
    assert isinstance(caught.value, nbrpc.ConnectFailed)
    assert caught.value.errno == caught.value.__cause__.errno
    assert "Errno" not in str(caught.value)


def test_a_service_that_is_none():
    """It is refused before anything is connected."""
    with pytest.raises(TypeError, match=r"derived from rpyc\.Service"):
        rpyc.connect("127.0.0.1", 1, service=5)
