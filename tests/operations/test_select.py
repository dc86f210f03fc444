"""The -w language."""

from __future__ import annotations

import pytest

from tgmtool.operations.keys import Keys
from tgmtool.operations.select import where

OBJECT = Keys(
    {"_obj": 2, "_file": "run.tgm"},
    {"dtype": "float32", "shape": [721, 1440], "ndim": 2, "compression": "zstd"},
    {
        "mars": {"param": "2t", "step": 6, "levelist": "0500", "date": "20200229", "number": 0},
        "flag": True,
        "nothing": None,
        "list": ["a", "b"],
        "half": 0.3,
        "large": 9007199254740993,
        "nan": float("nan"),
        "word": "1_0",
    },
    {"mars": {"class": "rd"}, "title": "a run"},
)

HOLDS = """
mars.step=6
mars.step=06
mars.step=6.0
mars.step=6e0
mars.step!=7
mars.step<7
mars.step<=6
mars.step<=06
mars.step>5
mars.step>=6
mars.step>-1
mars.step=5/6/7
mars.step!=1/2
mars.step=0/to/24/by/6
mars.step=0/TO/24/BY/6
mars.step=0/to/24
mars.step=24/to/0/by/6
mars.step=24/to/0/by/-6
mars.step=1/to/7/by/5
mars.step=6/to/6
mars.step!=0/to/24/by/4
mars.step!=7/to/24
mars.number=0/to/0
half=0/to/1/by/0.1
mars.param=2t
mars.param=2*
mars.param=?t
mars.param=[12]t
mars.param=10u/2*
mars.param!=1*
mars.param!=2T
mars.param>2s
mars.date=2020*
mars.date>20191231
mars.levelist=500
mars.levelist>=500
mars.levelist<1000
mars.step=*
missing!=1
missing!=1*
missing!=0/to/9
mars.missing!=6
flag=true
flag!=1
nothing=null
list=b
list=a/b
list=a/z
list!=c
large=9007199254740993
large!=9007199254740992
nan!=1
word=1_0
word!=10
shape=721/1440
shape=721
ndim=2
dtype=float32
dtype=float*
compression=zstd/none
_obj=2
_obj>=1
_file=*.tgm
mars.class=rd
title=a run
mars.step=6,mars.param=2t
 mars.step = 6 , mars.param = 2t
mars.step=6,,mars.param=2t,
mars.step>=0,mars.step<=6,mars.step!=3
"""

FAILS = """
mars.step=7
mars.step=60
mars.step!=6
mars.step!=06
mars.step<6
mars.step>6
mars.step<=5.9
mars.step>=6.1
mars.step=5/7
mars.step!=5/6
mars.step=0/to/24/by/4
mars.step=7/to/24
mars.step=0/to/5
mars.step!=0/to/24/by/6
mars.step=1/to/24/by/6
mars.param=2T
mars.param=1*
mars.param!=2*
mars.param=2
missing=1
missing=
missing=*
missing=0/to/9
missing<1
missing<=1
missing>1
missing>=0
nothing<1
flag=1
list=c
word=10
large=9007199254740992
mars.step=6,mars.param=10u
mars.step=7,mars.param=2t
"""

ERRORS = {
    "mars.step": "has no operator",
    "a=1,b": "has no operator",
    "=5": "has no key",
    " <5": "has no key",
    "a<1/2": "takes one value",
    "a>=1/to/5": "takes one value",
    "a=1/to/x": "is no range",
    "a=x/to/5": "is no range",
    "a=1/2/to": "is no range",
    "a=0/to/1/by/0": "is no range",
    "a=0/to/1/by/x": "is no range",
    "a=0/to/1/every/2": "is no range",
    "a=0/to/1e9/by/1e-3": "a range of more than",
}


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


@pytest.mark.parametrize("expression", lines(HOLDS))
def test_it_holds(expression: str) -> None:
    condition = where([expression])
    assert condition is not None
    assert condition(OBJECT)


@pytest.mark.parametrize("expression", lines(FAILS))
def test_it_does_not_hold(expression: str) -> None:
    condition = where([expression])
    assert condition is not None
    assert not condition(OBJECT)


@pytest.mark.parametrize("expression", list(ERRORS))
def test_what_cannot_be_understood_is_named(expression: str) -> None:
    with pytest.raises(ValueError, match=ERRORS[expression]) as caught:
        where([expression])
    assert repr(expression) in str(caught.value)


def test_several_expressions_must_all_hold() -> None:
    both, one = where(["mars.step=6", "mars.param=2t"]), where(["mars.step=6", "mars.param=10u"])
    assert both is not None
    assert one is not None
    assert both(OBJECT)
    assert not one(OBJECT)


@pytest.mark.parametrize("nothing", [[], [""], [",", " , "]])
def test_no_condition_is_no_test(nothing: list[str]) -> None:
    assert where(nothing) is None
