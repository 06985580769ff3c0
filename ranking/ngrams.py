"""Words and letters of a text as numbers, for the linear models of toxicity and of danger."""

import zlib

import numpy as np
from numpy.typing import NDArray

from ranking.danger_rules import plain


def hashed(text: str, buckets: int) -> NDArray[np.intp]:
    """The numbers, below `buckets`, of a text's words, pairs of words, and runs of 3 to 5 letters, each once."""
    text = plain(text)
    words, padded = text.split(), f" {text} "
    grams = {f"w {' '.join(words[i : i + n])}" for n in (1, 2) for i in range(len(words) - n + 1)}
    grams |= {f"c{padded[i : i + n]}" for n in (3, 4, 5) for i in range(len(padded) - n + 1)}
    return np.array(sorted({zlib.crc32(gram.encode(errors="surrogatepass")) % buckets for gram in grams}), np.intp)
