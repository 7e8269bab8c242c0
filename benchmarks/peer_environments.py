"""The other tools that benchmarks compare with, each with the requirements of its own environment."""

from peers import Peer

DATATROVE = Peer(
    "datatrove",
    (
        "datatrove[io,processing]==0.10.1",
        "fasttext-numpy2-wheel==0.9.2",
        "aiohttp==3.14.5",
        "spacy==3.8.18",
        "kenlm==0.3.0",
        "sentencepiece",
    ),
)
"""aiohttp and spacy are what its extras forget; kenlm and sentencepiece what its perplexity asks for."""
DOLMA = Peer("dolma", ("dolma==1.2.1", "kenlm==0.3.0", "numpy<2"))
"""fasttext-wheel, which Dolma requires, is from before numpy 2, which is kept away from it."""
DATA_JUICER = Peer(
    "data-juicer",
    (
        "py-data-juicer==1.6.1",
        "aiohttp==3.14.5",
        "fasttext-community==0.11.9",
        "kenlm==0.3.0",
        "sentencepiece",
        "ray==2.60.0",
        "torch>=2.4,<2.14",
    ),
)
"""It installs what it lacks while it runs, without asking: ray and torch too, which the two filters have no use for."""
NEMO_CURATOR = Peer("nemo-curator", ("nemo-curator==1.4.0", "fasttext-community==0.11.9", "torch>=2.4,<2.14"))
"""Without its extra `text_cpu`, which builds another fastText from source and adds what is not used here."""
