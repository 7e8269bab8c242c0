"""Short word lists and character classes that the statistics of a document count."""

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")
LISTS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "en": "the of and to in is that it was for on are as with his they at be this have from or had by but not what "
        "all were we when your can said there an each which she do how their if will other about out many then them "
        "these so some her would him into has more who its been than only over also after our because any may such",
        "de": "der die und den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
        "hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur",
        "fr": "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec ou son "
        "aux cette d'une été ces mais comme nous leur être deux même elle était dont sans ont où c'est qu'il",
        "es": "de la que el en y los se del las un por con una su para es al lo como más pero sus le ya o fue este ha "
        "sí porque esta son entre está cuando muy sin sobre ser también hasta hay donde desde todo nos durante",
        "it": "di e il la che in un a per è una sono con del non si da dei le della al più nel alla i lo gli come ma "
        "anche su delle ha nella questo se o stato era essere loro ai dal quando molto degli ed dopo fra",
        "nl": "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij uit nog naar heeft "
        "door over ze zich hij worden wordt werd deze tot waar kan geen veel al",
        "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à "
        "seu sua ou ser quando muito há nos já está eu também só pelo pela até isso",
        "linking": "however therefore thus moreover furthermore although though whereas while because since hence "
        "consequently meanwhile instead otherwise nevertheless additionally besides then also but and so it this these "
        "they he she such finally similarly",
        "subordinating": "although though whereas while because since unless until whether which whom whose where when "
        "who if that after before as once whenever wherever despite having being",
        "first_person": "i me my mine we us our ours i'm i've i'd i'll we're we've",
        "second_person": "you your yours you're you'll you've yourself",
        "informal": "lol gonna wanna gotta kinda sorta yeah yep nope ok okay hey guys dude stuff thing things lot lots "
        "really very just pretty cool awesome super totally basically actually literally anyway hi hello thanks u ur "
        "omg btw imo idk don't can't won't isn't it's that's i'm gimme ain't y'all haha crap damn",
        "selling": "buy sale shop cart price prices free shipping deal deals discount offer offers order now best "
        "click here subscribe newsletter checkout coupon cheap save stock item items product products add wishlist "
        "sold delivery store review reviews",
        "chrome": "home about contact login log sign register menu search privacy policy terms copyright reserved "
        "rights cookies cookie share tweet facebook twitter instagram pinterest comments comment reply read more next "
        "previous page pages posted archive archives categories tags sitemap faq help skip content email password "
        "follow related views permalink",
        "scholarly": "study studies method methods analysis theory evidence research result results system systems "
        "process processes function functions data model structure factors significant defined determined respectively "
        "associated treatment policy economic clinical definition theorem proof parameter parameters section",
    }.items()
}
"""Lower-case words by list; those of LANGUAGES are its commonest words."""

_CATEGORIES = {
    "Lu": 0, "Lt": 0, "Ll": 1, "Lo": 2, "Lm": 2, "Mn": 3, "Mc": 3, "Me": 3, "Nd": 4, "Nl": 4, "No": 4, "Zs": 5,
    "Pc": 6, "Pd": 6, "Ps": 6, "Pe": 6, "Pi": 6, "Pf": 6, "Po": 6, "Sm": 7, "Sc": 7, "Sk": 7, "So": 7,
    "Zl": 5, "Zp": 5, "Cc": 8, "Cf": 9, "Cs": 9, "Co": 9, "Cn": 9,
}  # fmt: skip
_SCRIPTS = (
    (0x41, 0), (0x250, 1), (0x370, 2), (0x400, 3), (0x530, 4), (0x590, 5), (0x600, 6), (0x700, 7), (0x900, 8),
    (0xE00, 9), (0x1000, 7), (0x1E00, 0), (0x1F00, 2), (0x2000, 0), (0x3040, 10), (0x3400, 11), (0xAC00, 12),
    (0xD7B0, 7),
)  # fmt: skip
"""First code point and number of a script; only letters are counted, so symbols in between do not matter."""


@cache
def lists_by_word() -> dict[str, tuple[str, ...]]:
    """The lists that each word is in."""
    words = sorted(frozenset().union(*LISTS.values()))
    return {word: tuple(name for name, known in LISTS.items() if word in known) for word in words}


@cache
def character_classes() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """For each code point below 65,536, and one for all above: its class, and its script plus 1 (0: no letter)."""
    classes = np.array([_CATEGORIES[unicodedata.category(chr(code))] for code in range(0x10000)] + [7], np.uint8)
    for code in (9, 10, 13):
        classes[code] = 5
    scripts = np.zeros(0x10001, np.uint8)
    for (start, script), (end, _) in zip(_SCRIPTS, (*_SCRIPTS[1:], (0x10000, 0)), strict=True):
        scripts[start:end] = script + 1
    scripts[:-1][~np.isin(classes[:-1], (0, 1, 2))] = 0
    return classes, scripts
