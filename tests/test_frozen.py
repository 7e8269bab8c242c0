"""Mappings as settings: hashable, unchangeable, plain for everyone who writes them down."""

import copy
import dataclasses
import json
import pickle

import orjson
import pytest

from stages.frozen import Frozen


def test_it_is_a_value() -> None:
    one, other = Frozen(a=1.0, b=2.0), Frozen(b=2.0, a=1.0)
    assert one == other == {"a": 1.0, "b": 2.0}
    assert hash(one) == hash(other)
    assert hash(one) != hash(Frozen(a=1.0))
    assert pickle.loads(pickle.dumps(one)) == one
    assert isinstance(copy.deepcopy(one), Frozen)


@pytest.mark.parametrize(
    "change", ["x['a'] = 2", "del x['a']", "x.update(a=2)", "x.clear()", "x.pop('a')", "x.setdefault('c', 1)",
               "x.popitem()", "x |= {'a': 2}"]
)  # fmt: skip
def test_it_cannot_be_changed(change: str) -> None:
    mapping = Frozen(a=1)
    with pytest.raises(TypeError, match="cannot be changed"):
        exec(change, {"x": mapping})
    assert mapping == {"a": 1}


def test_json_and_dataclasses_take_it_as_a_mapping() -> None:
    @dataclasses.dataclass(frozen=True)
    class Held:
        weights: Frozen

    assert dataclasses.asdict(Held(Frozen(a=1))) == {"weights": {"a": 1}}
    assert json.dumps(Frozen(a=1)) == '{"a": 1}'
    assert orjson.dumps(Frozen(a=1)) == b'{"a":1}'
