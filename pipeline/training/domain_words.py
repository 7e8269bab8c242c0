"""Words of each domain, written for Tamis: they label encyclopedia articles where no labelled text is free to use.

An article is taken for a domain if its embedding is clearly nearer to that domain's words than to any other's.
"""

import random
from collections.abc import Sequence

import numpy as np

from stages.rating_protocol import DOMAINS
from stages.rating_tokens import Embedder, Floats32, Tables, token_statistics

WORDS = {
    "medicine": "patient disease treatment symptoms doctor hospital surgery diagnosis clinical therapy drug "
    "dose cancer infection virus vaccine blood heart kidney liver chronic syndrome genetic "
    "disorder nurse pain diabetes medication trial tumor cells immune antibiotic pregnancy mental "
    "health",
    "finance": "bank interest rate inflation monetary policy stock market bond investor profit shares fund "
    "currency loan debt mortgage revenue earnings quarterly dividend economy economic growth "
    "capital credit trading exchange tax budget fiscal dollar price index merger billion",
    "law": "court judge plaintiff defendant appeal statute law legal contract attorney evidence criminal "
    "trial jury rights liability section act clause petition tribunal verdict constitution "
    "supreme judgment license copyright patent prosecution sentence lawsuit regulation",
    "education": "school student teacher university college curriculum classroom learning course degree "
    "education exam grade lecture campus scholarship faculty undergraduate graduate tuition "
    "kindergarten homework academic lesson pupils training literacy diploma professor semester",
    "technology": "computer software hardware device graphics card disk drive monitor processor chip battery "
    "engineer technology electronics sensor robot laser machine internet windows operating system "
    "digital screen keyboard printer memory innovation space satellite encryption circuit voltage "
    "semiconductor artificial intelligence",
    "entertainment": "film movie actor music band album song concert game player team season league football "
    "hockey baseball television show comedy celebrity festival award director cinema singer "
    "theatre match goal coach score champion sport video guitar fans tournament",
    "mathematics": "theorem proof lemma equation algebra function integral matrix prime number geometry topology "
    "scheme morphism polynomial finite set vector space ring module category probability calculus "
    "derivative graph infinite isomorphism sheaf group field",
    "coding": "function return class import def int string array list loop variable code algorithm python "
    "java compile public static void print sort method object parameter exception debug script "
    "library syntax integer boolean null api query database",
    "government": "government president congress parliament minister election vote party senate policy "
    "republican democrat prime minister campaign federal state war military troops rights tax "
    "bill administration public officials diplomatic treaty citizen political labour conservative "
    "immigration gun",
    "culture": "religion god church faith christian muslim jewish bible tradition culture history art "
    "painting museum literature poetry novel philosophy ancient language folklore ritual belief "
    "temple scripture heritage architecture anthropology moral atheism belief soul people "
    "civilization",
    "transportation": "car engine vehicle road driving motorcycle bike truck railway train station airport aircraft "
    "airline flight ship port highway traffic bus driver tire brake wheels fuel speed mile bridge "
    "transport passenger cargo shipping tanker freight dealer",
    "retail_e-commerce": "product buy purchase price customer review shop store brand quality cheap amazon camera "
    "player phone battery life features bought item order warranty refund shipping seller "
    "packaging sale discount money return zoom lens sound easy to use recommend",
    "telecommunication": "telephone mobile network wireless signal radio frequency antenna broadband cellular operator "
    "fiber optic cable spectrum carrier switching transmission bandwidth telecom modem 5g roaming "
    "satellite communications base station subscriber broadcast router call",
    "agriculture": "farm farmer crop wheat corn grain harvest soil cattle livestock coffee cocoa sugar "
    "plantation tonnes fertilizer irrigation dairy seed agricultural production rice cotton "
    "soybean orchard fruit vegetable barley planting drought export quota acres pesticide pig "
    "sheep poultry",
    "other": "weather animal plant bird mountain river island species lake planet star recipe family dream "
    "hobby garden travel letter weekend home clothes insect mineral fossil chemistry physics atom "
    "ocean climate desert",
}


def word_texts(chance: random.Random, count: int) -> list[tuple[str, int]]:
    """Bags of words with the domain's place in DOMAINS, `count` for each domain."""
    found = []
    for place, name in enumerate(DOMAINS):
        words = WORDS[name].split()
        found += [(" ".join(chance.sample(words, chance.randint(8, len(words)))), place) for _ in range(count)]
    return found


def nearest_domains(texts: Sequence[str], embedder: Embedder, tables: Tables, margin: float) -> list[int]:
    """For each text the domain whose words are nearest, or -1 unless by `margin` of cosine nearer than the next."""
    rows = np.stack([_embedding(text[:3000], embedder, tables) for text in texts])
    words = np.stack([_embedding(WORDS[name], embedder, tables) for name in DOMAINS])
    middle = rows.mean(axis=0)
    cosines = _unit(rows - middle) @ _unit(words - words.mean(axis=0)).T
    ranked = np.sort(cosines, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > margin
    return list(map(int, np.where(clear, cosines.argmax(axis=1), -1)))


def _embedding(text: str, embedder: Embedder, tables: Tables) -> Floats32:
    return token_statistics(embedder, tables, [text])[1]


def _unit(rows: Floats32) -> Floats32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
