"""The kinds of dates and times that have a zone, and of the zones themselves."""

from __future__ import annotations

import datetime
import re
import sys
from types import NoneType
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.kinds import SHALLOW, Kind, kind_of, register

__all__ = ["load"]

ZONE = re.compile(r"[A-Za-z0-9_+\-]{1,40}(/[A-Za-z0-9_+\-]{1,40}){0,4}")
"""Keys of the time zone database: no parts such as ``..`` that lead out of it."""


def _timezone(seconds: int, microseconds: int, name: str | None) -> datetime.timezone:
    offset = datetime.timedelta(seconds=seconds, microseconds=microseconds)
    if name is None:
        return datetime.UTC if not offset else datetime.timezone(offset)
    return datetime.timezone(offset, name)


def _timezone_apart(zone: datetime.timezone) -> tuple[object, ...]:
    offset = zone.utcoffset(None)
    plain = zone == datetime.UTC or zone.tzname(None) == datetime.timezone(offset).tzname(None)
    seconds = offset.days * 86_400 + offset.seconds
    return seconds, offset.microseconds, None if plain else zone.tzname(None)


def _zone(key: str) -> object:
    if not ZONE.fullmatch(key):
        raise RemoteProtocolError("a time zone has a key that is none")
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(key)
    except zoneinfo.ZoneInfoNotFoundError:
        raise NotSendable(
            f"the time zone {key!r} is not known on this side: install the package tzdata"
        ) from None


def _zone_apart(zone: Any) -> tuple[object] | None:
    return (zone.key,) if zone.key is not None and ZONE.fullmatch(zone.key) else None


def _pytz_zone(key: str) -> object:
    if not ZONE.fullmatch(key):
        raise RemoteProtocolError("a time zone has a key that is none")
    try:
        import pytz  # type: ignore[import-untyped] # it ships no types
    except ImportError as error:
        raise NotSendable(
            f"a time zone of pytz arrived, which is not installed here: {error}"
        ) from None
    return pytz.timezone(key)


def _pytz_apart(zone: Any) -> tuple[object] | None:
    """Give the key of a zone of pytz; those that it makes for one moment have no parts."""
    pytz = sys.modules["pytz"]
    key = zone.zone
    return (key,) if key is not None and pytz.timezone(key) is zone else None


def _moment(text: str, fold: int, zone: object) -> datetime.datetime:
    _check_zone(fold, zone)
    return datetime.datetime.fromisoformat(text).replace(fold=fold, tzinfo=zone)  # type: ignore[arg-type] # checked


def _time(text: str, fold: int, zone: object) -> datetime.time:
    _check_zone(fold, zone)
    return datetime.time.fromisoformat(text).replace(fold=fold, tzinfo=zone)  # type: ignore[arg-type] # checked


def _check_zone(fold: int, zone: object) -> None:
    if fold not in {0, 1} or not (zone is None or kind_of(type(zone)) in _zones):
        raise RemoteProtocolError("a time has a zone that is none")


def _moment_apart(moment: Any) -> tuple[object, ...] | None:
    """Give a moment without its zone, the fold, and the zone."""
    zone = moment.tzinfo
    # A zone of pytz holds for one moment only: put back with `replace` it would be another.
    if zone is not None and (kind_of(type(zone)) not in _zones or _is_of_pytz(zone)):
        return None
    return moment.replace(tzinfo=None, fold=0).isoformat(), moment.fold, zone


def _is_of_pytz(zone: object) -> bool:
    return type(zone).__module__.partition(".")[0] == "pytz"


_zones: list[Kind] = []


def load(library: str) -> None:
    """Register the kinds of dates and times, and of the zones of a library."""
    if library in {"datetime", "_pydatetime"}:
        zone = Kind(
            "datetime.timezone",
            SHALLOW,
            _timezone_apart,
            _timezone,
            ((int,), (int,), (str, NoneType)),
        )
        parts = ((str,), (int,), None)
        register(datetime.timezone, zone)
        register(
            datetime.datetime, Kind("datetime.datetime", SHALLOW, _moment_apart, _moment, parts)
        )
        register(datetime.time, Kind("datetime.time", SHALLOW, _moment_apart, _time, parts))
        _zones.append(zone)
    elif library == "zoneinfo":
        import zoneinfo

        zone = Kind("zoneinfo.ZoneInfo", SHALLOW, _zone_apart, _zone, ((str,),))
        register(zoneinfo.ZoneInfo, zone)
        _zones.append(zone)
    else:
        _load_pytz()


def _load_pytz() -> None:
    import pytz

    zone = Kind("pytz.timezone", SHALLOW, _pytz_apart, _pytz_zone, ((str,),))
    register(type(pytz.utc), zone)
    register(pytz.tzinfo.BaseTzInfo, zone, derived=True)
    _zones.append(zone)
