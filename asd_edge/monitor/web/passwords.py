"""Password, sessions and the limit on attempts to log in.

The password file holds one line, `scrypt$N$r$p$SALT$HASH` in base64, as
`hash_password` makes it; nobody can read the password from it. scrypt:
Percival and Josefsson, RFC 7914.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from asd_edge.errors import MissingFileError, ParameterError

# 16 MB and about 50 ms on a desktop, 200 ms on a Raspberry Pi 4: RFC 7914's advice for log-ins.
_N, _R, _P = 2**14, 8, 1
SESSION_S = 7 * 24 * 3600.0
_MAX_SESSIONS = 100
# An address may be wrong this often at once, and once more every so many seconds.
ATTEMPTS = 5
ATTEMPT_S = 60.0
_MAX_ADDRESSES = 1000
SHORTEST = 8


def hash_password(password: str) -> str:
    """Hash a password with a new salt, for the password file.

    Raises:
        ParameterError: it has fewer than 8 characters.

    Example:
        >>> matches("correct horse", hash_password("correct horse"))
        True
    """
    if len(password) < SHORTEST:
        raise ParameterError("password", "*" * len(password), f"{SHORTEST} characters or more")
    salt = secrets.token_bytes(16)
    found = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P)
    return "$".join(["scrypt", str(_N), str(_R), str(_P), *(_text(x) for x in (salt, found))])


def matches(password: str, hashed: str) -> bool:
    """Tell whether a password is the one that was hashed, in constant time."""
    _, n, r, p, salt, wanted = hashed.split("$")
    found = hashlib.scrypt(
        password.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p)
    )
    return hmac.compare_digest(found, base64.b64decode(wanted))


def read_password_file(path: str | Path) -> str:
    """Read the hashed password of a file.

    Raises:
        MissingFileError: there is no such file.
        ParameterError: it holds something else than a hashed password.
    """
    try:
        hashed = Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise MissingFileError(path, "password file") from None
    try:
        matches("", hashed)
    except (ValueError, TypeError):
        # The content is not quoted: it may be a password in the clear.
        raise ParameterError(
            "password_file", str(path), "a file made by asd-edge monitor --hash-password"
        ) from None
    return hashed


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Sessions:
    """Who is logged in: tokens of 256 random bits, of which only the hashes are kept.

    A restart of the program ends all sessions.

    Args:
        clock: monotonic time in s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: OrderedDict[bytes, float] = OrderedDict()

    def begin(self) -> str:
        """Begin a session and give its token; the oldest ends if there are too many."""
        token = secrets.token_urlsafe(32)
        self._ends[self._key(token)] = self._clock() + SESSION_S
        while len(self._ends) > _MAX_SESSIONS:
            self._ends.popitem(last=False)
        return token

    def valid(self, token: str) -> bool:
        """Tell whether a session with this token is running."""
        return self._ends.get(self._key(token), -1.0) > self._clock()

    def end(self, token: str) -> None:
        """End a session, if it is running."""
        self._ends.pop(self._key(token), None)

    @staticmethod
    def _key(token: str) -> bytes:
        return hashlib.sha256(token.encode()).digest()


class AttemptLimit:
    """A token bucket for each address: ATTEMPTS wrong passwords, then one each ATTEMPT_S.

    Args:
        clock: monotonic time in s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        return max(0.0, (1.0 - self._left(address)) * ATTEMPT_S)

    def failed(self, address: str) -> None:
        """Count a wrong password."""
        self._buckets[address] = (self._left(address) - 1.0, self._clock())
        self._buckets.move_to_end(address)
        while len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the wrong passwords of an address that knew the right one."""
        self._buckets.pop(address, None)

    def _left(self, address: str) -> float:
        left, at = self._buckets.get(address, (float(ATTEMPTS), self._clock()))
        return min(float(ATTEMPTS), left + (self._clock() - at) / ATTEMPT_S)
