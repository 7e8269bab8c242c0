"""Packing: every token of every document once, no context above its size, long documents in order."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ordering_graph import Longs, undirected
from stages.ordering_neighbours import neighbours
from stages.ordering_vectors import Units
from stages.packing_contexts import Spans, _similar_fit, best_fit, concatenated, next_fit, refined, shuffled
from stages.packing_measures import measured, needlessly_cut
from tests.ordering_sets import clusters, hashes

LENGTHS = st.lists(st.integers(0, 70), max_size=40)


def _refined(tokens: Longs, context: int) -> Spans:
    vectors = clusters(len(tokens), dimensions=6)
    return refined(tokens, context, vectors, undirected(*neighbours(vectors, 4, hashes(len(tokens)))))


STRATEGIES = {"concat": concatenated, "next-fit": next_fit, "best-fit": best_fit, "refined": _refined}


def _check(spans: Spans, tokens: Longs, context: int) -> None:
    held: dict[int, list[int]] = {}
    loads: dict[int, int] = {}
    for number, document, begin, end in zip(*(part.tolist() for part in spans), strict=True):
        assert begin < end
        held.setdefault(document, []).extend(range(begin, end))
        loads[number] = loads.get(number, 0) + end - begin
    assert {document: sorted(places) for document, places in held.items()} == {
        document: list(range(count)) for document, count in enumerate(tokens.tolist()) if count
    }
    assert sorted(loads) == list(range(len(loads)))
    assert all(load <= context for load in loads.values())
    assert (np.diff(spans.contexts) >= 0).all()


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS, context=st.integers(1, 60), seed=st.integers(0, 9))
def test_every_token_is_in_exactly_one_context(name: str, lengths: list[int], context: int, seed: int) -> None:
    tokens = np.array(lengths, np.int64)
    spans = STRATEGIES[name](tokens, context)
    _check(spans, tokens, context)
    again = shuffled(spans, seed)
    _check(again, tokens, context)
    assert _contents(again) == _contents(spans)
    if name != "concat":
        assert needlessly_cut(spans, tokens, context) == 0.0
        assert all(end - begin <= context for begin, end in zip(spans.begins, spans.ends, strict=True))


def _contents(spans: Spans) -> list[list[tuple[int, ...]]]:
    groups: dict[int, list[tuple[int, ...]]] = {}
    for number, *part in zip(*(part.tolist() for part in spans), strict=True):
        groups.setdefault(number, []).append(tuple(part))
    return sorted(groups.values())


@settings(deadline=None)
@given(lengths=LENGTHS, context=st.integers(1, 60))
def test_concatenation_pads_only_the_end_and_next_fit_keeps_the_order(lengths: list[int], context: int) -> None:
    tokens = np.array(lengths, np.int64)
    spans = concatenated(tokens, context)
    assert len(np.unique(spans.contexts)) == -(-int(tokens.sum()) // context)
    spans = next_fit(np.minimum(tokens, context - 1), context)
    assert all(one <= two for one, two in pairwise(zip(spans.documents, spans.begins, strict=True)))


def _plain_best_fit(tokens: list[int], context: int, opened: int) -> list[list[int]]:
    """The documents of each context, for documents that fit; contexts by their first document."""
    contexts: list[list[int]] = []
    live: list[list[int]] = []
    for document, count in enumerate(tokens):
        rooms = [context - sum(tokens[one] for one in held) for held in live]
        fitting = [place for place, room in enumerate(rooms) if room >= count]
        if fitting:
            live[min(fitting, key=lambda place: rooms[place])].append(document)
            continue
        contexts.append([document])
        if len(live) == opened:
            live[rooms.index(min(rooms))] = contexts[-1]
        else:
            live.append(contexts[-1])
    return contexts


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 29), max_size=40), opened=st.integers(1, 4))
def test_best_fit_is_that_of_a_plain_rewriting(lengths: list[int], opened: int) -> None:
    spans = best_fit(lengths, 30, opened)
    found = [spans.documents[spans.contexts == number].tolist() for number in np.unique(spans.contexts)]
    assert found == _plain_best_fit(lengths, 30, opened)


def _plain_similar_fit(tokens: list[int], vectors: Units, context: int, opened: int) -> list[list[int]]:
    """The same, into the context whose tokens are most similar in the mean."""
    contexts: list[list[int]] = []
    live: list[list[int]] = []
    for document, count in enumerate(tokens):
        rooms = [context - sum(tokens[one] for one in held) for held in live]
        fitting = [place for place, room in enumerate(rooms) if room >= count]
        if fitting:
            means = [np.average(vectors[held], axis=0, weights=[tokens[one] for one in held]) for held in live]
            live[max(fitting, key=lambda place: means[place] @ vectors[document].astype(float))].append(document)
            continue
        contexts.append([document])
        if len(live) == opened:
            live[rooms.index(min(rooms))] = contexts[-1]
        else:
            live.append(contexts[-1])
    return contexts


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 29), max_size=40), opened=st.integers(1, 4))
def test_fitting_by_similarity_is_that_of_a_plain_rewriting(lengths: list[int], opened: int) -> None:
    vectors = clusters(len(lengths), dimensions=7)
    homes = _similar_fit(np.array(lengths, np.int64), vectors, 30, opened)
    found = [np.flatnonzero(homes == number).tolist() for number in np.unique(homes)]
    assert found == _plain_similar_fit(lengths, vectors, 30, opened)


def test_a_document_longer_than_100_contexts_is_cut_in_order() -> None:
    spans = best_fit([5, 1_234, 3], 10)
    mine = spans.documents == 1
    assert spans.begins[mine].tolist() == list(range(0, 1_234, 10))
    assert (np.diff(spans.contexts[mine]) == 1).all()
    assert spans.ends[mine][-1] == 1_234


def test_refinement_brings_similar_documents_together_and_shuffling_is_seeded() -> None:
    vectors = clusters(600, groups=40, dimensions=32)
    tokens = np.random.default_rng(0).integers(1, 400, 600)
    graph = undirected(*neighbours(vectors, 8, hashes(600)))
    before, after = best_fit(tokens, 1_000), refined(tokens, 1_000, vectors, graph)
    _check(after, tokens, 1_000)
    one, two = (measured(spans, tokens, 1_000, vectors) for spans in (before, after))
    assert two.token_win > one.token_win + 0.1
    assert two.win > one.win + 0.1
    assert two.cut == one.cut == 0.0
    assert one.contexts <= two.contexts < measured(next_fit(tokens, 1_000), tokens, 1_000, vectors).contexts
    mixed = [shuffled(after, seed).documents.tolist() for seed in (0, 0, 1)]
    assert mixed[0] == mixed[1] != mixed[2]
    assert measured(concatenated(tokens, 1_000), tokens, 1_000, vectors).cut > 0.1
