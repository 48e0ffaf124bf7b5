"""Prints what the public modules of RPyC hold, as JSON: names, and the parameters of each."""

import importlib
import inspect
import json
import sys
import types


def parameters(value):
    """Give the names that a callable takes; None where that cannot be told."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    return [parameter.name for parameter in signature.parameters.values()]


def surface(path):
    """Give the public names of a module, with parameters and, of classes, public methods."""
    module = importlib.import_module(path)
    found = {}
    for name in dir(module):
        value = getattr(module, name, None)
        if name.startswith("_"):
            continue
        home = getattr(value, "__module__", None)
        standard = isinstance(value, types.ModuleType) and not value.__name__.startswith("rpyc")
        foreign = (
            isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType))
            and home is not None
            and not home.startswith(("rpyc", "nbrpc"))
        )
        entry = {"standard": standard or foreign or type(value).__name__ == "_Feature"}
        if callable(value) and not standard:
            entry["parameters"] = parameters(value)
        if isinstance(value, type):
            entry["methods"] = {
                key: parameters(getattr(value, key))
                for key in dir(value)
                if not key.startswith("_") and callable(getattr(value, key, None))
            }
            entry["attributes"] = [key for key in dir(value) if not key.startswith("_")]
        found[name] = entry
    return found


if __name__ == "__main__":
    print(json.dumps({path: surface(path) for path in sys.argv[1:]}))
