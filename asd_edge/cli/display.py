"""Show text from outside (file names, sections, machines) so that it can do no harm.

A name may hold an escape sequence that colours or clears the terminal, a newline that forges a row
of a table, or bytes that are no text in the terminal's encoding.
"""

from __future__ import annotations

import sys


def harmless(text: str) -> str:
    r"""Show what does not print as an escape: "a\nb" as a, backslash, n, b.

    >>> harmless("red\x1b[31m.wav")
    'red\\x1b[31m.wav'
    """
    if text.isprintable():
        return text
    import unicodedata  # here, because hardly any text needs it

    # What does not print are controls, bytes that are no text, marks that turn a line's direction,
    # and also wide spaces, which do no harm.
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else _escaped(c) for c in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name, as Python keeps it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def never_fail_on_output() -> None:
    """Let stdout and stderr write what their encoding cannot as an escape, whatever the locale."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
