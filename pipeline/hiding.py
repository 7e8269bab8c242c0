"""Which text is never shown unasked: what a filter of harmful text dropped."""

import base64

HARM_FILTER, HARMFUL = "perplexity", "harmful"


def is_hidden(dropped_by: str | None, reason: str | None) -> bool:
    """Whether the text of a document dropped so is behind a click."""
    return dropped_by == HARM_FILTER and reason == HARMFUL


def covered(text: str) -> str:
    """A text in a form that neither a reader nor a search of the page meets by chance (base64 of UTF-8).

    >>> covered("aé")
    'YcOp'
    """
    return base64.b64encode(text.encode()).decode()
