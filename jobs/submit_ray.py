"""Run a configuration as a job of a Ray cluster: `tamis run CONFIG --engine ray`, from a checkout, nothing installed.

    ray job submit --address http://HEAD:8265 --working-dir . -- python jobs/submit_ray.py CONFIG [--set key=value] ...

Nodes need what Tamis depends on; Tamis itself and its models are sent to them. Output and input must be on storage
that all nodes share: give absolute paths, or URLs. Exit codes are those of `tamis run`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.cli import main

if __name__ == "__main__":
    sys.argv[1:] = ["run", *sys.argv[1:], "--engine", "ray"]
    main()
