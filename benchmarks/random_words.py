"""Texts of as many words as asked for, each of which is the key of one record.

`zipf`: the words of a language. `ten`: a key occurs ten times on average, drawn at random.
`distinct`: no two words are equal. Keys of the last two have 8 to 16 letters, and neighbours
in the text are not neighbours in order. Deterministic, as all inputs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal

from input_file import WORDS_AT_ONCE, text_of, written_once
from zipf_text import LETTERS, zipf_words

Kind = Literal["zipf", "ten", "distinct"]

SEED = 2
VALUES_PER_KEY = 10
SYLLABLE_LETTERS = 3
HEADS = len(LETTERS) ** (2 * SYLLABLE_LETTERS)  # beginnings of six letters: 309 million
STRIDE = 190_921_033  # odd and no multiple of 13, so that number * STRIDE mod HEADS is unique
TAIL_LENGTHS = range(2, 11)


def words_file(folder: Path, kind: Kind, records: int) -> Path:
    """Return a file of `records` words, written if it is not there yet."""
    return written_once(folder / f"words-{kind}-{records}.txt", lambda: _text(kind, records))


def _text(kind: Kind, records: int) -> Iterator[bytes]:
    source = {"zipf": zipf_words, "ten": lambda: _ten(records), "distinct": _distinct}[kind]()
    for words in source:
        yield text_of(words[:records])
        records -= len(words)
        if records <= 0:
            return


def _ten(records: int) -> Iterator[list[str]]:
    keys: list[str] = []
    for words in _distinct():
        keys += words
        if len(keys) * VALUES_PER_KEY >= records:
            break
    del keys[max(1, records // VALUES_PER_KEY) :]
    source = random.Random(SEED)
    while True:
        yield source.choices(keys, k=WORDS_AT_ONCE)


def _distinct() -> Iterator[list[str]]:
    syllables = ["".join(letters) for letters in product(LETTERS, repeat=SYLLABLE_LETTERS)]
    source = random.Random(SEED)
    number = 0
    while True:
        letters = "".join(source.choices(LETTERS, k=WORDS_AT_ONCE + TAIL_LENGTHS[-1]))
        lengths = source.choices(TAIL_LENGTHS, k=WORDS_AT_ONCE)
        words = []
        for at, length in enumerate(lengths):
            first, second = divmod(number * STRIDE % HEADS, len(syllables))
            words.append(syllables[first] + syllables[second] + letters[at : at + length])
            number += 1
        yield words
