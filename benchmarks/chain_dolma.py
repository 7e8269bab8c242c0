"""Taggers for Dolma, which chain_peers.py has `dolma tag` load: English by a local file, perplexity by KenLM.

Dolma's own tagger of English names a URL, so a subclass names the file. It has no tagger of perplexity; this one does
what a user would write: lower-cased words line by line under the same KenLM file as Tamis has.
"""

import os

import kenlm
from dolma import add_tagger
from dolma.core.data_types import DocResult, Document, Span
from dolma.core.taggers import BaseTagger
from dolma.taggers.language import FastTextEnglishOnlyLanguageDocumentTagger


@add_tagger("local_en")
class LocalEnglish(FastTextEnglishOnlyLanguageDocumentTagger):
    """Dolma's tagger `ft_lang_id_en_only_v2` with the model of $CHAIN_LID."""

    MODEL_PATH = os.environ["CHAIN_LID"]


@add_tagger("local_ppl")
class LocalPerplexity(BaseTagger):
    """The perplexity of a document under the model of $CHAIN_KENLM, as the score of one span."""

    def __init__(self) -> None:
        self.model = kenlm.Model(os.environ["CHAIN_KENLM"])

    def predict(self, doc: Document) -> DocResult:
        """One span over the whole text."""
        score, tokens = 0.0, 0
        for line in doc.text.lower().splitlines():
            words = line.split()
            if words:
                score += self.model.score(" ".join(words))
                tokens += len(words) + 1
        value = 10.0 ** (-score / tokens) if tokens else 0.0
        return DocResult(doc=doc, spans=[Span(start=0, end=len(doc.text), type="ppl", score=value)])
