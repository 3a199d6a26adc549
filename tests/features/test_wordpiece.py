"""The look-up finds what the tokeniser finds."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from banditroute.features._wordpiece import WordPieces

VOCABULARY = [
    "[UNK]",
    *"!\"#-.?[]_'",
    *"abcdeun0123",
    "the",
    "cab",
    "bad",
    "10",
    "##a",
    "##b",
    "##ed",
    "##n",
    "##3",
    "é",
]
PIECES = WordPieces(VOCABULARY)
REFERENCE = Tokenizer(WordPiece({token: row for row, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
REFERENCE.normalizer = BertNormalizer(lowercase=True)
REFERENCE.pre_tokenizer = BertPreTokenizer()


def tokens(text):
    return [VOCABULARY[row] for row in PIECES.rows(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cab", ["the", "cab"]),
        ("a_bad-cab?", ["a", "_", "bad", "-", "cab", "?"]),
        ("CABED", ["cab", "##ed"]),
        ("zebra", ["[UNK]"]),
        ("c\x00a\x1fb", ["cab"]),
        ("Bäd", ["bad"]),
        ("[UNK]", ["[", "[UNK]", "]"]),  # markup in a text is text, and "unk" is no token here
        ("", []),
    ],
)
def test_tokens_equal_the_hand_made_ones(text, expected):
    assert sorted(tokens(text)) == sorted(expected)


WORDS = st.sampled_from(
    ["the", "CAB", "bad10", "10", "abed", "Bäd", "naïve", "日本", "“cab”", "a" * 120, "x", "é", "e\u0301"]
)
SPACES = st.sampled_from(
    [" ", "\n", "\t", "\r\n", "\x85", "\x1c", "\x0b", "\u2028", "\xa0", "\u200b", "", "\x00", ".", "_"]
)


CHANGED_LATER = "\u166d\u1734\u1885\u1886"  # Unicode 9 to 14 took them for punctuation or accents
KNOWN = "".join(
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Cs", "Co") and character not in CHANGED_LATER
)


def test_every_character_of_old_unicode_is_cut_as_the_reference_cuts_it():
    words = [f"a{each}b" for each in KNOWN if not each.isascii()]
    texts = [" ".join(words[i : i + 100]) for i in range(0, len(words), 100)]
    references = REFERENCE.encode_batch(texts, add_special_tokens=False)
    differing = [text for text, each in zip(texts, references, strict=True) if list(PIECES.cut(text)) != each.ids]
    assert differing == []


@given(
    st.one_of(
        st.text(st.sampled_from(KNOWN), max_size=60), st.lists(st.one_of(WORDS, SPACES), max_size=30).map("".join)
    )
)
def test_any_text_gives_the_tokens_of_the_reference(text):
    text = text.encode("utf-8", "replace").decode()
    assert sorted(PIECES.rows(text)) == sorted(REFERENCE.encode(text, add_special_tokens=False).ids)
