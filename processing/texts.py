"""Whether bytes are the text of a CSV, and of which kind, before anything is made of them.

In: the file's bytes. Refused: other encodings, what is no text (named by its first bytes), and nothing at all. They are
looked at a piece at a time: a large file is not copied, and other threads get their turn between the pieces.
"""

import re
from collections.abc import Iterator

from processing.cells import Body
from processing.errors import InvalidLoadProfile, Problem

PIECE = 262_144  # bytes that are looked at together; they stay in the processor's cache
LONGEST_LINE = 2_000_000  # bytes; a header with the names of 20,000 sites, 100 bytes each
_MARK = b"\xef\xbb\xbf"  # of the byte order, as Excel writes it
_LINE_END = re.compile(rb"\r\n|\n|\r")
# What no file needs for which the quick way is right: quotes, control characters, and the first bytes of the
# sequences in which the white space beyond ASCII is encoded (str.strip takes it off the cells).
_PLAIN = bytes(set(range(256)) - set(range(32)) - set(b'"\x7f\xc2\xe1\xe2\xe3')) + b"\t\n\r"
_SAVE = "In Excel, save the sheet as 'CSV UTF-8 (comma delimited)' and send that file."
_OTHERS = {  # by the first bytes
    b"\x1f\x8b": "The file is compressed with gzip. Unpack it and send the CSV itself.",
    b"PK\x03\x04": f"The file is a ZIP archive, as Excel's .xlsx is. {_SAVE} Unpack an archive of CSV files first.",
    b"%PDF": "The file is a PDF. Send the load profile's data, exported as CSV.",
    b"\xd0\xcf\x11\xe0": f"The file is an old Office document, as Excel's .xls is. {_SAVE}",
    b"\xff\xfe": f"The file is UTF-16. {_SAVE}",
    b"\xfe\xff": f"The file is UTF-16. {_SAVE}",
}


def start(body: Body) -> int:
    """Return where the text begins: behind the byte-order mark, if there is one."""
    return len(_MARK) if body.startswith(_MARK) else 0


def line(body: Body, at: int) -> tuple[int, str]:
    """Return where the line after the one at a position begins, and that line, which is the header or before it.

    Raises:
        InvalidLoadProfile: it is longer than LONGEST_LINE.
    """
    found = _LINE_END.search(body, at, at + LONGEST_LINE + 1)
    end = found.end() if found else len(body)
    if end - at > LONGEST_LINE:
        longest = f"{LONGEST_LINE:,} bytes"
        message = f"The header has more than {longest}. Send fewer columns; the first line must be the header."
        raise _refused(_row(body, at), "bad_header", message)
    return end, body[at:end].decode()


def check(body: Body) -> bool:
    """Tell whether a text is plain: it can be cut at its delimiters and line ends.

    Raises:
        InvalidLoadProfile: it is no text, or of another encoding, or empty.
    """
    what = next((words for magic, words in _OTHERS.items() if body.startswith(magic)), "")
    plain, empty, nul = True, True, -1
    for at, piece in pieces(body, start(body)):
        try:
            if not piece.isascii():
                piece.decode()
        except UnicodeDecodeError as error:
            if what:
                raise _refused(None, "not_utf8", what) from None
            raise _refused(_row(body, at + error.start), "not_utf8", f"The file is not UTF-8. {_SAVE}") from None
        plain = plain and not piece.translate(None, _PLAIN) and not _lone_return(piece)
        empty = empty and piece.isspace()
        if nul < 0 and (found := piece.find(b"\0")) >= 0:
            nul = at + found
    if what:
        raise _refused(None, "not_text", what)
    if nul >= 0:
        message = "The file holds a NUL character: it is not a text file. Export it as CSV."
        raise _refused(_row(body, nul), "not_text", message)
    if empty:
        raise _refused(None, "empty", "The file is empty. Send a header and at least 672 rows of quarter-hours.")
    return plain


def _lone_return(piece: bytes) -> bool:
    return b"\r" in piece and piece.count(b"\r") != piece.count(b"\r\n")  # to look whether is quicker than to count


def pieces(body: Body, at: int) -> Iterator[tuple[int, bytes]]:
    """Cut bytes behind their line ends, into pieces with the positions of their beginnings."""
    while at < len(body):
        end = body.find(b"\n", at + PIECE) + 1 or len(body)
        yield at, bytes(body[at:end])
        at = end


def _row(body: Body, at: int) -> int:
    return body.count(b"\n", 0, at) + 1


def _refused(row: int | None, code: str, message: str) -> InvalidLoadProfile:
    return InvalidLoadProfile([Problem(row, None, code, message)])
