"""Run a configuration on Spark: `tamis run CONFIG --engine spark`, from a checkout or a shipped archive.

    spark-submit --master spark://HEAD:7077 jobs/submit_spark.py CONFIG [--set key=value] ...
    spark-submit --master yarn --deploy-mode cluster --py-files tamis.whl.zip jobs/submit_spark.py CONFIG

Executors need what Tamis depends on; Tamis itself and its models are sent to them. Output and input must be on storage
that all nodes share: give absolute paths, or URLs. Where the driver has no checkout, ship the wheel (`pip wheel
--no-deps .`, named .zip) with --py-files: it is unpacked, since models must be files. Exit codes are those of
`tamis run`.
"""

import sys
import tempfile
import zipfile
from pathlib import Path


def _unpack(folder: str) -> None:
    """Put the first archive on the path that holds Tamis there unpacked."""
    for entry in sys.path:
        if zipfile.is_zipfile(entry):
            with zipfile.ZipFile(entry) as archive:
                if "pipeline/cli.py" in archive.namelist():
                    archive.extractall(folder)
                    sys.path.insert(0, folder)
                    return


def _run() -> None:
    from pipeline.cli import main

    sys.argv[1:] = ["run", *sys.argv[1:], "--engine", "spark"]
    main()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as unpacked:
        home = Path(__file__).resolve().parents[1]
        if (home / "pipeline" / "cli.py").is_file():
            sys.path.insert(0, str(home))
        else:
            _unpack(unpacked)
        _run()
