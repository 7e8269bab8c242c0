"""A directory that keeps every answer of an endpoint, so that none is paid for twice.

One SQLite file, which several processes may use at once. An answer is found by the hash of all that decides it: model,
API, mode, language, guide, the text that was shown, and the model's identity if the endpoint tells one; not by the
endpoint's address, so that one that moved is still not paid twice. It holds no text of documents.

An answer that is `invalid` is kept too: at temperature 0 and with one seed the same model gives it again. Refusals are
not kept, nor are empty answers and those that the endpoint filtered or broke off: another time there may be one. What
is kept stands: an answer without probabilities has none in later runs, even if the endpoint would now give them.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import orjson

from stages.errors import ConfigError, EngineError
from stages.rating_requests import Ask, Reply

FILE = "answers-1.sqlite"
"""The number changes whenever the same facts would be asked about in other words."""
_BUSY_S = 60.0
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, reply BLOB NOT NULL) WITHOUT ROWID"


def check_place(answers: str) -> None:
    """Raise ConfigError unless `rating.answers` can be a directory of this machine."""
    if "://" in answers:
        raise ConfigError(
            f"rating.answers: found '{answers}', expected a directory on a local disk: answers are kept in SQLite, "
            "which needs the locks of one"
        )


class Answers:
    """The answers kept in a directory; with an empty name nothing is kept."""

    def __init__(self, directory: str, ask: Ask) -> None:
        """Raise ConfigError if the directory cannot be used."""
        self._directory, self._ask = directory, ask
        self.identity = ""
        """What tells the served model from others of its name; nothing if that is not known. Set it before asking."""
        self._database: sqlite3.Connection | None = None
        if not directory:
            return
        check_place(directory)
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
            self._database = _opened(Path(directory) / FILE)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"rating.answers: '{directory}' cannot be used: {error}; expected a directory on a local disk that may "
                f"be written, in which {FILE}, if there, was made by Tamis"
            ) from None

    def find(self, text: str) -> Reply | None:
        """The answer about a shown text, if there is one. Raises EngineError if the file cannot be read."""
        if self._database is None:
            return None
        with self._explained():
            row = self._database.execute("SELECT reply FROM answers WHERE key = ?", [self._key(text)]).fetchone()
            if row is None:
                return None
            kept = orjson.loads(row[0])
            return Reply(**kept | {"chances": tuple(map(tuple, kept["chances"]))})

    def keep(self, text: str, reply: Reply) -> None:
        """Keep an answer at once, if it is a complete one. Raises EngineError if the file cannot be written."""
        if self._database is not None and reply.complete:
            with self._explained():
                row = [self._key(text), orjson.dumps(asdict(reply))]
                self._database.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", row)

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()

    def _key(self, text: str) -> bytes:
        facts = [*asdict(self._ask).values(), text, *([self.identity] if self.identity else [])]
        return hashlib.sha256(orjson.dumps(facts)).digest()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, LookupError) as error:
            what = error if isinstance(error, sqlite3.Error) else "an answer in it is damaged"
            raise EngineError(
                f"rating.answers: '{self._directory}' cannot be used any more: {what}. Is the disk full, or the file "
                "damaged? Mend it or name another directory; the same command goes on from here"
            ) from None


def _opened(path: Path) -> sqlite3.Connection:
    """Write-ahead log: readers never wait, and what was written outlives the process without a sync for each answer.

    Answers are sought and kept in one thread, which need not be the one that opens.
    """
    database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
