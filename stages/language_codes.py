"""One convention for language codes: the shortest ISO 639 code, with a script only where it is not the usual one.

`en`, `eng`, `eng_Latn` and `__label__en` are all `en`; Chinese is `zh`, in traditional characters `zh-Hant`; Serbian
is `sr`, in Latin letters `sr-Latn`. Languages without a two-letter code keep their three letters (`ceb`, `yue`).
Everything that the members say and everything that a user asks for passes through `standard_code`.
"""

import difflib
import re
from functools import cache

from stages.errors import ConfigError

UNDETERMINED = "und"

WIKIPEDIA = {
    "als": "gsw",
    "bat-smg": "sgs",
    "be-x-old": "be",
    "bh": "bho",
    "cbk-zam": "cbk",
    "fiu-vro": "vro",
    "map-bms": "jv",
    "nds-nl": "nds",
    "roa-rup": "rup",
    "roa-tara": "nap",
    "simple": "en",
    "zh-classical": "lzh",
    "zh-min-nan": "nan",
    "zh-yue": "yue",
}
"""Names of Wikipedia editions that are no ISO codes, or (`als`) the ISO code of another language.

lid.176 was trained on Wikipedia. Models with ISO codes write the script too (`als_Latn` is Tosk Albanian), so this
table is for labels without one.
"""

_PREFERRED = {"no": "nb", "nob": "nb", "fil": "tl", "tgl": "tl"}
"""`no` in model labels is Bokmål (`nn` is separate); Filipino is Tagalog under its two-letter code."""

_NOT_A_LANGUAGE = re.compile(r"(xx|xxx|zz[behp]|tlh|un|und|zxx|mis|mul)(-|$)")
"""CLD2's names for scripts (`xx-Bugi`) and jokes (`zzp`), and the ISO codes for no, many or unknown languages."""

_ALSO_KEEPS = {"no": ("nb", "nn"), "nor": ("nb", "nn"), "sh": ("bs", "hr", "sr", "sr-Latn")}
"""What a user means by the code of a group."""

_BARE_SHAPE = re.compile(r"[a-z]{2,3}(-[a-z]{4})?", re.IGNORECASE)


@cache
def standard_code(label: str) -> str:
    """The standard code of a model's label or a user's code; `und` where the label names no language.

    >>> [standard_code(c) for c in ("__label__eng_Latn", "als", "als_Latn", "iw", "no", "zho_Hant", "srp_Cyrl", "un")]
    ['en', 'gsw', 'sq', 'he', 'nb', 'zh-Hant', 'sr', 'und']

    A label that is no language tag at all (a user's model may have any) is returned in lower case.
    """
    tag = label.removeprefix("__label__").replace("_", "-")
    tag = WIKIPEDIA.get(tag.lower(), tag)
    if _NOT_A_LANGUAGE.match(tag.lower()):
        return UNDETERMINED
    return _standard_tag(tag) or tag.lower()


def base(code: str) -> str:
    """The code without its script: `zh-Hant` -> `zh`."""
    return code.partition("-")[0]


def kept_codes(wanted: tuple[str, ...], present: list[str]) -> list[str]:
    """Those codes in `present` that the user's list asks for.

    A code without script keeps all scripts, one with script that script alone:

    >>> kept_codes(("zh", "srp_Latn"), ["zh", "zh-Hant", "sr", "sr-Latn", "en"])
    ['zh', 'zh-Hant', 'sr-Latn']
    """
    exact, loose = _wanted_codes(wanted)
    return [code for code in present if code in exact or base(code) in loose]


def check_codes(setting: str, wanted: tuple[str, ...]) -> None:
    """Raise ConfigError if an entry is not the code of a language."""
    for entry in wanted:
        if entry != UNDETERMINED and not (_BARE_SHAPE.fullmatch(entry.replace("_", "-")) and _is_valid(entry)):
            raise ConfigError(
                f"{setting}: found '{entry}'{_nearest(entry)}, expected ISO 639 codes such as 'en', 'zh' or 'zh-Hant'"
            )


@cache
def _wanted_codes(wanted: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    exact: set[str] = set()
    loose: set[str] = set()
    for entry in wanted:
        codes = _ALSO_KEEPS.get(entry, (standard_code(entry),))
        (exact if len(entry) > 3 or entry in _ALSO_KEEPS else loose).update(codes)
    return frozenset(exact), frozenset(loose)


def _standard_tag(tag: str) -> str | None:
    import langcodes

    try:
        found = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True))
    except ValueError:
        return None
    code = _shortest(tag, found.language or UNDETERMINED)
    usual = langcodes.Language.get(code).maximize().script
    return f"{code}-{found.script}" if found.script and found.script != usual else code


def _shortest(tag: str, standardised: str) -> str:
    """Keep an individual language (`pnb`) rather than its macrolanguage (`lah`), unless that has two letters."""
    spoken = base(tag).lower()
    code = spoken if len(standardised) == 3 and len(spoken) == 3 else standardised
    return _PREFERRED.get(spoken) or _PREFERRED.get(code, code)


def _is_valid(entry: str) -> bool:
    import langcodes

    return bool(langcodes.tag_is_valid(entry.replace("_", "-")))


def _nearest(entry: str) -> str:
    """A hint where the user wrote a language's English name."""
    import pycld2

    names = {name.lower(): standard_code(code) for name, code in pycld2.LANGUAGES if not name.startswith("X_")}
    near = difflib.get_close_matches(entry.lower(), names, n=1, cutoff=0.85)
    return f" (did you mean '{names[near[0]]}'?)" if near else ""
