"""Programs for RPyC, run unchanged: nbrpc prints what RPyC prints, byte for byte."""

from __future__ import annotations

from tests.compat.support import run, start


def test_a_program_with_server_and_client():
    """A server on a thread, and its client in the same program."""
    assert run("bank.py", stock=False) == run("bank.py", stock=True)


def connected(*, server, client):
    """Give what a client prints that is connected to a server in another process."""
    process, port = start("bank.py", "serve", stock=server == "stock", to_all=client == "stock")
    try:
        return run("bank.py", "connect", port, stock=client == "stock")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_program_for_each_side():
    """Server and client in processes of their own; the client finds the token by itself."""
    assert connected(server="ours", client="ours") == connected(server="stock", client="stock")


def test_a_client_of_a_stock_server():
    """The client is nbrpc, the server RPyC itself."""
    assert connected(server="stock", client="ours") == connected(server="stock", client="stock")


def test_a_stock_client_of_a_server():
    """The server is nbrpc, and lets clients of RPyC in; the client is RPyC itself."""
    assert connected(server="ours", client="stock") == connected(server="stock", client="stock")


def test_classes_that_both_sides_have():
    """After installing, a proxy passes for the class of this process that goes by the same name."""
    assert run("classes.py", stock=False) == run("classes.py", stock=True)
