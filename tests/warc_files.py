"""WARC records for tests, built byte by byte, and whole gzip members of them."""

import gzip
from collections.abc import Iterable

PROSE = "The lighthouse keeper wrote every evening about the wind, the ships and the price of lamp oil. " * 4
PAGE = f"<html><body><nav>Menu</nav><main><p>{PROSE}</p></main></body></html>"


def record(kind: str, number: int, body: bytes, **headers: str) -> bytes:
    lines = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:n{number}>",
        "WARC-Target-URI": f"http://localhost/{number}",
        "WARC-Date": "2024-05-06T07:08:09Z",
        **{key.replace("_", "-"): value for key, value in headers.items()},
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + body + b"\r\n\r\n"


def response(number: int, body: bytes, *http: str, **headers: str) -> bytes:
    lines = "\r\n".join(["HTTP/1.1 200 OK", *(http or ("Content-Type: text/html; charset=utf-8",))])
    content = f"{lines}\r\n\r\n".encode() + body
    return record("response", number, content, **{"Content_Type": "application/http; msgtype=response", **headers})


def wet(number: int, text: str = PROSE) -> bytes:
    return record("conversion", number, text.encode(), Content_Type="text/plain")


def zipped(records: Iterable[bytes]) -> bytes:
    return b"".join(gzip.compress(item, 1, mtime=0) for item in records)
