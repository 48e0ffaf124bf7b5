"""Bytes cut into what one record of TLS holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

__all__ = ["BATCH", "RECORD", "Cut", "batches"]

RECORD = 16 * 1024
"""Bytes of data in the longest record of TLS."""

BATCH = 16 * RECORD
"""Bytes that are encrypted before the socket is asked again."""

Cut = Callable[[bytes], Sequence[int]]
"""Gives the lengths of the pieces that some bytes are to be cut into, each with records of its own.
It is given every byte once, in order."""

Record = bytes | memoryview


def batches(
    pieces: Sequence[bytes | memoryview], skip: int = 0, cut: Cut | None = None
) -> Iterator[list[Record]]:
    """Cut pieces into records, some at a time: short pieces are joined, long ones are not copied.

    Parameters
    ----------
    skip
        Bytes at the front that are left out.
    """
    batch: list[Record] = []
    size = 0
    joined = bytearray()
    for piece in pieces:
        view = memoryview(piece).cast("B")
        if skip:
            view, skip = view[skip:], max(0, skip - len(view))
        while view:
            if joined or len(view) < RECORD:
                part = view[: RECORD - len(joined)]
                joined += part
                if len(joined) == RECORD:
                    batch.append(bytes(joined))
                    joined.clear()
            else:
                part = view[:RECORD]
                batch.append(part)
            size += len(part)
            view = view[len(part) :]
            if size >= BATCH and not joined:
                yield _cut_again(batch, cut)
                batch, size = [], 0
    if joined:
        batch.append(bytes(joined))
    if batch:
        yield _cut_again(batch, cut)


def _cut_again(batch: list[Record], cut: Cut | None) -> list[Record]:
    """Cut a batch where the caller wants it cut as well."""
    if cut is None:
        return batch
    data = b"".join(batch)
    records: list[Record] = []
    start = 0
    for length in cut(data):
        end = start + length
        records += (data[at : min(at + RECORD, end)] for at in range(start, end, RECORD))
        start = end
    return records
