"""One convention for the codes of models, users and data."""

import pytest

from stages.errors import ConfigError
from stages.language_codes import check_codes, kept_codes, standard_code

CODES = {
    "en": "en __label__en eng eng_Latn __label__eng_Latn EN simple",
    "gsw": "als gsw gsw_Latn",
    "sq": "sq als_Latn sqi",
    "he": "iw he heb_Hebr",
    "jv": "jw jv map-bms",
    "nb": "no nb nob nob_Latn",
    "nn": "nn nno_Latn",
    "sr": "sr srp_Cyrl sr-ME",
    "sr-Latn": "sh hbs srp_Latn",
    "zh": "zh cmn zho_Hans cmn_Hans zh-Hans",
    "zh-Hant": "zh-Hant zho_Hant cmn_Hant",
    "yue": "yue zh-yue",
    "nan": "zh-min-nan",
    "sgs": "bat-smg",
    "bho": "bh bho_Deva",
    "tl": "tl tgl_Latn fil",
    "ar": "ar arb arb_Arab",
    "ar-Latn": "arb_Latn",
    "arz": "arz",
    "pnb": "pnb",
    "zza": "zza",
    "ms": "zsm_Latn ms",
    "fa": "pes_Arab prs_Arab",
    "und": "un und xxx xx-Bugi zzp zxx_Zzzz und_Latn tlh",
    "nosuchlanguage": "__label__NoSuchLanguage",
}


@pytest.mark.parametrize("code", CODES)
def test_each_spelling_has_one_code(code: str) -> None:
    spellings = CODES[code].split()
    assert {spelling: standard_code(spelling) for spelling in spellings} == dict.fromkeys(spellings, code)


def test_the_codes_of_groups_keep_their_languages() -> None:
    assert kept_codes(("no",), ["nb", "nn", "da"]) == ["nb", "nn"]
    assert kept_codes(("sh",), ["hr", "bs", "sr", "sr-Latn", "sl"]) == ["hr", "bs", "sr", "sr-Latn"]


def test_three_letters_keep_as_two_do() -> None:
    assert kept_codes(("eng", "deu_Latn"), ["en", "de", "fr"]) == ["en", "de"]


@pytest.mark.parametrize("code", ["en", "eng", "eng_Latn", "zh-Hant", "zho_Hans", "ceb", "und", "sr-Latn"])
def test_codes_of_languages_pass(code: str) -> None:
    check_codes("language.keep", (code,))


@pytest.mark.parametrize("code", ["", "e", "en_US", "en-GB", "xq", "__label__en", "english language"])
def test_other_entries_are_refused(code: str) -> None:
    with pytest.raises(ConfigError, match=r"language\.keep: found '"):
        check_codes("language.keep", (code,))
