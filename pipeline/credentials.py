"""Credentials in URLs: they open files and endpoints, and are never written down nor shown."""

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_USER = re.compile(r"(?<=://)[^/\s'\"]*@")
_OWNERS = "api|access|account|auth|client|encryption|private|shared|storage|subscription"
"""Whose key is a secret; a `partition_key` or `sort_key` is none, but a parameter that is called `key` alone is."""
_SECRET = rf"[^=&\s'\"]*(?:token|secret|signature|passw|pwd|credential|(?:{_OWNERS})[-_]?key|sig|auth)[^=&\s'\"]*|key"
_QUERY = re.compile(rf"([?&](?:{_SECRET})=)[^&#\s'\"]+", re.IGNORECASE)


@lru_cache(maxsize=4096)
def without_credentials(text: str) -> str:
    """A text without users and passwords of URLs, and without the values of query parameters that are secrets.

    >>> without_credentials("s3://me:secret@bucket/a@2.jsonl, https://host/a.jsonl?part=2&X-Amz-Signature=0af3")
    's3://...@bucket/a@2.jsonl, https://host/a.jsonl?part=2&X-Amz-Signature=...'
    """
    return _QUERY.sub(r"\1...", _USER.sub("...@", text)) if "://" in text else text


def cleaned(value: Any) -> Any:
    """Plain values, as for JSON, with every text in them without credentials."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {cleaned(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list | tuple) else value


class NoCredentials(logging.Filter):
    """Lets every record pass, without credentials."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter.filter."""
        record.msg, record.args = without_credentials(record.getMessage()), ()
        return True
