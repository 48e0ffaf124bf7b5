"""The source of nbrpc does nothing that `tests.hygiene` forbids, and each rule there bites."""

from __future__ import annotations

import pytest

from tests import hygiene
from tests.hygiene import EXCEPTIONS, ROOT, RULES, Source, breaches

PLANTED = {
    "no_pickle": ["import pickle", "from marshal import loads", "import os, shelve"],
    "no_code": ["eval(text)", "builtins.exec(text)", "compile(a, b, 'exec')", "__import__(name)"],
    "monotonic_clock": ["until = time.time() + 5", "from time import time", "time.time_ns()"],
    "no_silent_except": [
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept Exception:\n    pass",
        "for x in y:\n    try:\n        f()\n    except BaseException:\n        continue",
    ],
    "quiet_finalizers": [
        "class A:\n    def __del__(self):\n        self.sock.sendall(b'')",
        "class A:\n    def __del__(self):\n        with self.lock:\n            pass",
        "class A:\n    def __del__(self):\n        log.debug('gone')",
    ],
    "constant_templates": [
        "message.text.format(owner)",
        "text.format_map(names)",
        "template % (a, b)",
        "f'{name} {{}}'.format(a)",
    ],
    "no_shell": ["run(command, shell=True)", "os.system(command)", "Popen(x, shell=flag)"],
    "names_through_the_policy": [
        "getattr(target, request.name)",
        "setattr(obj, name, value)",
        "class _Arrivals:\n    def __getattr__(self, name):\n        return hasattr(self, name)",
    ],
}

HARMLESS = """
import time
until = time.monotonic() + 5
try:
    f()
except OSError:
    pass
try:
    f()
except Exception:  # code of the user
    pass
class A:
    def __del__(self):
        self.reactor.post(self)
"'{}' is no {}".format(a, b) + "%s" % (a,) + TEMPLATE.format(a) + format(a, b)
self.compile(a) or re.compile(b) or run(command, shell=False)
getattr(a, "name", None) or getattr(a, NAME)
"""


def test_nothing_is_breached():
    """Every rule holds in every file."""
    assert breaches() == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_bites(rule):
    """What is planted is found, and what is harmless is not."""
    for text in PLANTED[rule.__name__]:
        assert list(rule(Source("session/planted.py", text))), text
    assert list(rule(Source("session/planted.py", HARMLESS))) == []


@pytest.mark.parametrize("rule", EXCEPTIONS, ids=lambda rule: rule.__name__)
def test_each_exception_is_needed(rule, monkeypatch):
    """Without any one of them a rule would be breached in that file."""
    allowed = EXCEPTIONS[rule]
    table = next(key for key in vars(hygiene) if vars(hygiene)[key] is allowed)
    for name in allowed:
        others = {other: why for other, why in allowed.items() if other != name}
        monkeypatch.setattr(hygiene, table, others)
        file = name.partition(":")[0]
        source = Source(file, (ROOT / file).read_text(encoding="utf-8"))
        assert list(rule(source)), f"{name} does not need its exception"
