"""The numbers of the vote, as `python benchmarks/language_fit.py` prints them.

Fitted on half of these texts, by a hash of the text: lingua's accuracy data (Leipzig Corpora sentences, word pairs and
words in 79 languages, CC BY), the blocks of the Universal Declaration of Human Rights in nltk's udhr2, and the
paragraphs of XQuAD in 12 languages (CC BY-SA 4.0). All languages count alike there, as they do not on the web: the
priors say how far a label is to be trusted in a disagreement, not how common a language is.
"""

from stages.language_vote import Confidence, Weights

DISAGREEMENT = Weights(
    fasttext=0.43,
    cld2=3.35,
    beyond_cld2=2.95,
    other=0.43,
    priors={
        "af": 0.8,
        "ak": -0.8,
        "be": 0.8,
        "bi": -0.7,
        "bs": 1.0,
        "ceb": -0.6,
        "cy": 0.9,
        "de": -0.8,
        "en": -2.9,
        "eu": 0.9,
        "fa": 0.6,
        "fi": -0.7,
        "ga": 1.4,
        "gl": -0.7,
        "ha": -0.5,
        "hr": 0.8,
        "hu": -0.6,
        "is": 1.0,
        "ky": -0.5,
        "la": 1.0,
        "lg": 0.8,
        "ln": -0.6,
        "mi": 0.9,
        "mk": 1.0,
        "mn": 0.6,
        "mr": 0.5,
        "nb": 0.8,
        "ne": -0.6,
        "ny": -0.6,
        "oc": -0.8,
        "om": 0.7,
        "pl": -0.7,
        "qu": -0.8,
        "ro": 0.8,
        "rw": -1.3,
        "sl": 0.8,
        "sn": 0.9,
        "so": 2.4,
        "sq": 0.7,
        "sr": -1.2,
        "ss": -0.9,
        "st": 0.7,
        "sw": 0.8,
        "ti": 1.0,
        "tn": 0.7,
        "ts": 0.9,
        "war": -0.5,
        "wo": -0.8,
        "yo": 3.0,
        "zh": 1.1,
    },
)
"""For lid.176 and CLD2. Where CLD2 knows few words, it says English: hence English's prior."""

OWN_MODEL = Weights(fasttext=1.0, cld2=1.0, beyond_cld2=0.0, other=-1.0)
"""For a user's fastText model, to which nothing was fitted: CLD2 decides only where the model is nearly undecided, or
does not know the language that CLD2 names.

Set by hand: CLD2's word multiplies the odds by e, and 'some other language' weighs as much as a probability of .37.
"""

AGREEMENT = Confidence(constant=-1.83, letters=0.94, sure=4.61)
"""That an agreed label is right, by lid.176's probability."""

CLD2_ALONE = Confidence(constant=-3.55, letters=1.19, sure=4.21)
"""That CLD2's label is right where it says that it is reliable, by the label's share of bytes."""

CLD2_UNSURE = 0.05
"""The score where CLD2 names a language and says that it is not reliable."""
