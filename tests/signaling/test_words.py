from itertools import combinations

import pytest

from signaling.words import ADJECTIVES, NOUNS


def slips(one: str, other: str) -> int:
    """Letters to insert, drop or change (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one):
        above, row = row, [i + 1]
        for j, right in enumerate(other):
            row.append(min(above[j + 1] + 1, row[j] + 1, above[j] + (left != right)))
    return row[-1]


@pytest.mark.parametrize("words", [ADJECTIVES, NOUNS])
def test_a_list_has_256_words_apart_in_three_letters_and_three_slips(words: list[str]) -> None:
    assert len(words) == 256
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert len({word[:3] for word in words}) == 256
    assert min(slips(one, other) for one, other in combinations(words, 2)) >= 3


def test_no_word_is_in_both_lists() -> None:
    assert not set(ADJECTIVES) & set(NOUNS)
