"""A real S3 server on loopback for tests: moto's, from an environment of its own, since its pins clash with ours.

python3 -m venv VENV/moto && VENV/moto/bin/pip install 'moto[server]'
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

_BUCKET = "tamis-test"
_START_SECONDS = 60


def _executable() -> Path | None:
    named = os.environ.get("TAMIS_MOTO_SERVER")
    path = Path(named) if named else Path(sys.prefix) / "moto" / "bin" / "moto_server"
    return path if path.is_file() else None


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(endpoint: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_SECONDS
    while not _answers(endpoint):
        if server.poll() is not None or time.monotonic() > end:
            pytest.fail(f"the S3 test server did not answer within {_START_SECONDS} s")
        time.sleep(0.1)


def _answers(endpoint: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(endpoint, timeout=5).close()
    except OSError:
        return False
    return True


def _settings(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """URL of an empty bucket; the server's address is in os.environ, so that worker processes find it too."""
    executable = _executable()
    if executable is None:
        pytest.skip("no S3 test server: set TAMIS_MOTO_SERVER to moto_server (see tests/s3.py)")
    pytest.importorskip("s3fs")
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(executable), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        try:
            _wait(endpoint, server)
            for key, value in _settings(endpoint).items():
                patch.setenv(key, value)
            yield _bucket()
        finally:
            server.terminate()
            server.wait(10)


def _bucket() -> str:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(_BUCKET)
    return f"s3://{_BUCKET}"
