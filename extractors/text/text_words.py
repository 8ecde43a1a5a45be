"""Words of a text: which are its keywords, and which language they are of."""

from __future__ import annotations

import collections
import functools
import re

import pycld2
import stopwordsiso

MAX_DIFFERENT = 200_000  # words that are counted; beyond, the rarer half is forgotten
MAX_KEYWORDS = 20
MIN_KEYWORD = 3  # letters
SAMPLE_LETTERS = 50_000  # of which the language is told
MIN_LETTERS = 20  # below, no language is told
DOUBTFUL_PERCENT = 60  # below, what CLD2 calls unreliable is not told
RENAMED = {"iw": "he", "jw": "jv"}  # the codes that ISO 639-1 has today
WORD = re.compile(r"[^\W\d_]{1,40}(?:[-'\u2019][^\W\d_]{1,40}){0,3}")
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffd-\uffff\U0001fffe\U0001ffff\U000e0000-\U0010ffff]+")


class Words:
    """How often each word was seen; their number is bounded."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.letters = self.total = 0
        self.cut = False

    def add(self, text: str) -> None:
        """Count the words of `text`."""
        found = WORD.findall(text.casefold())
        self.total += len(found)
        self.letters += sum(map(len, found))
        self.counts.update(found)
        if len(self.counts) > MAX_DIFFERENT:
            self.cut = True
            self.counts = collections.Counter(dict(self.counts.most_common(MAX_DIFFERENT // 2)))

    def keywords(self, codes: list[str]) -> list[str]:
        """Return the most frequent words that are no stop words of the languages `codes`."""
        stop = stopwords(tuple(codes))
        fit = [
            (count, word) for word, count in self.counts.items() if len(word) >= MIN_KEYWORD and word not in stop
        ]
        often = [(count, word) for count, word in fit if count > 1] or fit
        return [word for _, word in sorted(often, key=lambda one: (-one[0], one[1]))[:MAX_KEYWORDS]]


@functools.cache
def stopwords(codes: tuple[str, ...]) -> frozenset[str]:
    """Return the stop words of languages, English ones always."""
    known = [code.partition("-")[0] for code in codes]
    return frozenset(stopwordsiso.stopwords([code for code in {*known, "en"} if stopwordsiso.has_lang(code)]))


def languages(text: str) -> list[tuple[str, int]]:
    """Return (ISO 639-1 code, percent of the text) of up to three languages, the most frequent first."""
    fit = UNFIT.sub(" ", text[:SAMPLE_LETTERS])
    if sum(map(str.isalpha, fit[:1000])) < MIN_LETTERS:
        return []
    try:
        reliable, _, found = pycld2.detect(fit.encode("utf-8", "replace"), isPlainText=True, bestEffort=True)
    except pycld2.error:
        return []
    told = [(RENAMED.get(code, code), percent) for _, code, percent, _ in found if code != "un" and percent > 0]
    return told if told and (reliable or told[0][1] >= DOUBTFUL_PERCENT) else []
