"""The exception classes that both sides know: the only ones that a name from the wire can lead to.

Those are the builtin ones, a few of nbrpc, and the public ones of the standard library, numpy,
pandas and Arrow. No module is ever imported because a peer named a class of it: a class is taken
from a module that is loaded already, and whoever writes ``except json.JSONDecodeError`` has loaded
it. A class that means something to the machinery around a call is not in the table: one that skips
a test or ends a debugger.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any, Final, cast

from nbrpc.errors import (
    AccessDenied,
    CallCancelled,
    CallTimeout,
    LimitExceeded,
    NotSendable,
    StaleReference,
)
from nbrpc.objects.static import class_module, class_qualname, is_class, own_attributes

__all__ = ["BUILTINS", "EVERY_BUILTIN", "OWN", "STOPS", "is_known", "known_class", "name_of_class"]

EVERY_BUILTIN: Final = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException) and value.__name__ == name
}
"""The builtin exceptions, by name."""

BUILTINS: Final = {
    name: value for name, value in EVERY_BUILTIN.items() if issubclass(value, Exception)
}
"""Those that ``except Exception`` catches."""

STOPS: Final = {"StopIteration": StopIteration, "StopAsyncIteration": StopAsyncIteration}

OWN: Final = {
    f"{cls.__module__}.{cls.__name__}": cls
    for cls in (
        AccessDenied,
        CallCancelled,
        CallTimeout,
        LimitExceeded,
        NotSendable,
        StaleReference,
    )
}
"""Errors of ours that mean the same on both sides; a ConnectionLost of the peer is not one of our
connection."""

TABLE: Final = """
_csv Error
_curses error
_lzma LZMAError
_pickle PickleError PicklingError UnpicklingError
_queue Empty
argparse ArgumentError ArgumentTypeError
asyncio.exceptions BrokenBarrierError IncompleteReadError InvalidStateError LimitOverrunError
asyncio.exceptions SendfileNotAvailableError
asyncio.queues QueueEmpty QueueFull QueueShutDown
binascii Error Incomplete
calendar IllegalMonthError IllegalWeekdayError
concurrent.futures._base BrokenExecutor CancelledError Error InvalidStateError
concurrent.futures.process BrokenProcessPool
concurrent.futures.thread BrokenThreadPool
configparser DuplicateOptionError DuplicateSectionError Error InterpolationDepthError
configparser InterpolationError InterpolationMissingOptionError InterpolationSyntaxError
configparser InvalidWriteError MissingSectionHeaderError MultilineContinuationError NoOptionError
configparser NoSectionError ParsingError UnnamedSectionDisabledError
copy Error
ctypes ArgumentError COMError
dataclasses FrozenInstanceError
dbm error
dbm.dumb error
dbm.sqlite3 error
decimal Clamped ConversionSyntax DecimalException DivisionByZero DivisionImpossible
decimal DivisionUndefined FloatOperation Inexact InvalidContext InvalidOperation Overflow Rounded
decimal Subnormal Underflow
email.errors BoundaryError CharsetError HeaderDefect HeaderParseError HeaderWriteError
email.errors MessageDefect MessageError MessageParseError MultipartConversionError
ftplib Error error_perm error_proto error_reply error_temp
getopt GetoptError
graphlib CycleError
gzip BadGzipFile
http.client BadStatusLine CannotSendHeader CannotSendRequest HTTPException
http.client ImproperConnectionState IncompleteRead InvalidURL LineTooLong NotConnected
http.client RemoteDisconnected ResponseNotReady UnimplementedFileMode UnknownProtocol
http.client UnknownTransferEncoding
http.cookiejar LoadError
http.cookies CookieError
imaplib IMAP4.abort IMAP4.error IMAP4.readonly
importlib.metadata PackageNotFoundError
io UnsupportedOperation
ipaddress AddressValueError NetmaskValueError
json.decoder JSONDecodeError
locale Error
mailbox Error ExternalClashError FormatError NoSuchMailboxError NotEmptyError
multiprocessing.context AuthenticationError BufferTooShort ProcessError TimeoutError
multiprocessing.managers RemoteError
multiprocessing.pool MaybeEncodingError
netrc NetrcParseError
optparse BadOptionError OptParseError OptionConflictError OptionError OptionValueError
pathlib UnsupportedOperation
plistlib InvalidFileException
poplib error_proto
py_compile PyCompileError
queue Empty Full ShutDown
re PatternError error
shutil Error ExecError ReadError RegistryError SameFileError SpecialFileError
signal itimer_error
smtplib SMTPAuthenticationError SMTPConnectError SMTPDataError SMTPException SMTPHeloError
smtplib SMTPNotSupportedError SMTPRecipientsRefused SMTPResponseException SMTPSenderRefused
smtplib SMTPServerDisconnected
socket gaierror herror
sqlite3 DataError DatabaseError Error IntegrityError InterfaceError InternalError
sqlite3 NotSupportedError OperationalError ProgrammingError Warning
ssl SSLCertVerificationError SSLEOFError SSLError SSLSyscallError SSLWantReadError
ssl SSLWantWriteError SSLZeroReturnError
statistics StatisticsError
struct error
subprocess CalledProcessError SubprocessError TimeoutExpired
tarfile AbsoluteLinkError AbsolutePathError CompressionError ExtractError FilterError HeaderError
tarfile LinkFallbackError LinkOutsideDestinationError OutsideDestinationError ReadError
tarfile SpecialFileError StreamError TarError
termios error
threading BrokenBarrierError
tokenize TokenError
tomllib TOMLDecodeError
urllib.error ContentTooShortError HTTPError URLError
wave Error
webbrowser Error
xml.dom DOMException HierarchyRequestErr InvalidCharacterErr InvalidModificationErr
xml.dom InvalidStateErr NamespaceErr NotFoundErr NotSupportedErr SyntaxErr WrongDocumentErr
xml.etree.ElementTree ParseError
xml.parsers.expat ExpatError
xml.sax._exceptions SAXException SAXNotRecognizedException SAXNotSupportedException
xml.sax._exceptions SAXParseException SAXReaderNotAvailable
xmlrpc.client Error Fault ProtocolError ResponseError
zipfile BadZipFile LargeZipFile
zipimport ZipImportError
zlib error
zoneinfo._common ZoneInfoNotFoundError
numpy AxisError ComplexWarning RankWarning TooHardError VisibleDeprecationWarning
numpy.exceptions AxisError ComplexWarning DTypePromotionError ModuleDeprecationWarning RankWarning
numpy.exceptions TooHardError VisibleDeprecationWarning
numpy.linalg LinAlgError
pandas._libs.tslibs.np_datetime OutOfBoundsDatetime OutOfBoundsTimedelta
pandas._libs.tslibs.period IncompatibleFrequency
pandas.errors AbstractMethodError AttributeConflictWarning CSSWarning CategoricalConversionWarning
pandas.errors ChainedAssignmentError ClosedFileError DataError DatabaseError DtypeWarning
pandas.errors DuplicateLabelError EmptyDataError IncompatibilityWarning IncompatibleFrequency
pandas.errors IndexingError IntCastingNaNError InvalidColumnName InvalidComparison
pandas.errors InvalidIndexError InvalidVersion LossySetitemError MergeError NoBufferPresent
pandas.errors NullFrequencyError NumExprClobberingError NumbaUtilError OptionError
pandas.errors OutOfBoundsDatetime OutOfBoundsTimedelta ParserError ParserWarning PerformanceWarning
pandas.errors PossibleDataLossError PossiblePrecisionLoss PyperclipException SettingWithCopyError
pandas.errors SettingWithCopyWarning SpecificationError UndefinedVariableError UnsortedIndexError
pandas.errors UnsupportedFunctionCall ValueLabelTypeMismatch
pyarrow.lib ArrowCancelled ArrowCapacityError ArrowException ArrowIndexError ArrowInvalid
pyarrow.lib ArrowKeyError ArrowMemoryError ArrowNotImplementedError ArrowSerializationError
pyarrow.lib ArrowTypeError
"""
"""A module, and the names of classes in it, as the classes themselves give both."""

ELSEWHERE: Final = {
    "_queue.Empty": ("queue", "Empty"),
    "re.PatternError": ("re", "error"),
    "numpy.AxisError": ("numpy.exceptions", "AxisError"),
    "pandas._libs.tslibs.np_datetime.OutOfBoundsDatetime": ("pandas.errors", "OutOfBoundsDatetime"),
    "pandas._libs.tslibs.np_datetime.OutOfBoundsTimedelta": (
        "pandas.errors",
        "OutOfBoundsTimedelta",
    ),
}
"""Classes that go by another name in another version: where every version has them."""


def _places() -> dict[str, tuple[str, str]]:
    places: dict[str, tuple[str, str]] = {}
    for line in TABLE.strip().splitlines():
        module, *names = line.split()
        places |= {f"{module}.{name}": (module, name) for name in names}
    return places | ELSEWHERE


PLACES: Final = _places()
"""By the name of a class, the module in which it is found and its name there."""

LONGEST_NAME: Final = 200


def name_of_class(cls: type) -> str:
    """Give the name of a class, with its module unless that is builtins."""
    module, name = class_module(cls), class_qualname(cls)
    return (name if module in {"", "builtins"} else f"{module}.{name}")[:LONGEST_NAME]


def is_known(cls: type) -> bool:
    """Whether both sides know an exception class by its name."""
    name = name_of_class(cls)
    return cls in {BUILTINS.get(name), OWN.get(name), known_class(name)}


def known_class(name: str) -> type[Exception] | None:
    """Give the class of this name from the table, if its module is loaded; else None."""
    place = PLACES.get(name)
    found: Any = sys.modules.get(place[0]) if place is not None else None
    for part in place[1].split(".") if found is not None and place is not None else ():
        # No getattr: a module that is loaded on first use would be loaded by it.
        found = own_attributes(found).get(part)
    if is_class(found) and issubclass(cast("type", found), Exception):
        return cast("type[Exception]", found)
    return None
