"""Which examples of a bank are nearest to a query: by words they share, or by vectors that stand for them."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

K1, B = 1.5, 0.75
WORD = re.compile(r"\w+")


class Near(NamedTuple):
    """Places in the bank, nearest first, and their similarities, at most 1."""

    places: list[int]
    similarities: list[float]


class BM25:
    """Okapi BM25 over a bank of texts.  Source: Robertson and Zaragoza 2009, k1 = 1.5 and b = 0.75."""

    def __init__(self, texts: Sequence[str]):
        self.counts = [Counter(WORD.findall(text.lower())) for text in texts]
        self.lengths = [sum(counts.values()) for counts in self.counts]
        self.mean = sum(self.lengths) / max(1, len(texts))
        seen = Counter(word for counts in self.counts for word in counts)
        self.weight = {word: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for word, n in seen.items()}

    def scores(self, query: str) -> list[float]:
        """Of each text of the bank."""
        asked = set(WORD.findall(query.lower()))
        return [
            sum(
                self.weight[w] * n[w] * (K1 + 1) / (n[w] + K1 * (1 - B + B * length / self.mean))
                for w in asked & n.keys()
            )
            for n, length in zip(self.counts, self.lengths, strict=True)
        ]

    def nearest(self, query: str, count: int) -> Near:
        """The `count` texts of the highest score, of equal ones those that come first; in units of the highest."""
        scores = self.scores(query)
        places = sorted(range(len(scores)), key=lambda place: -scores[place])[:count]
        highest = max(scores) or 1.0
        return Near(places, [scores[place] / highest for place in places])


class Vectors:
    """The cosine of vectors [N, D]; centred: after their mean is taken away."""

    def __init__(self, bank_ND: Tensor, *, centred: bool = True):
        self.mean_D = bank_ND.mean(0) if centred else bank_ND.new_zeros(bank_ND.shape[1])
        self.bank_ND = F.normalize(bank_ND - self.mean_D, dim=-1)

    def nearest(self, query_D: Tensor, count: int) -> Near:
        """The `count` vectors of the highest cosine."""
        cosine_N = self.bank_ND @ F.normalize(query_D - self.mean_D, dim=-1)
        top = cosine_N.topk(min(count, len(cosine_N)))
        return Near(top.indices.tolist(), top.values.tolist())
