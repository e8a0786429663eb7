"""A summary that only quotes: the sentences of a transcript that carry most, and those that decide, promise or ask.

In go Segments, out comes a Summary, all of whose points stand word for word in the transcript. Sentences are weighed by
LexRank (Erkan & Radev 2004, arXiv:1109.2128) over TF-IDF inside each topic stretch; stretches are found as TextTiling
does (Hearst 1997, Computational Linguistics 23); repetition is kept out by maximal marginal relevance (Carbonell &
Goldstein 1998, SIGIR); words that announce count extra, as in Edmundson 1969 (J. ACM 16). Knows no model and no audio.
Third party: scikit-learn, with numpy and scipy behind it, imported when there is something to weigh.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

from audiocli.cues import LANGUAGES, Language, content, cue, decisions, in_conversation, questions, quotes, tasks
from audiocli.grounding import WORD, Sentence, Transcript, heard, sentences
from audiocli.records import Point, Segment, Summary

METHOD = "extractive: quotes only"
ELSEWHERE = "; decisions, action items and open questions are looked for in English and German only"
UNTRUSTED = "nothing that was heard can be trusted, so nothing is quoted"
MISTRUSTED = "most of what was heard cannot be trusted, and only the rest is quoted"
FEWEST, PER_ROOT_MINUTE = 4, 2.5
"""Key points: 11 of a meeting of seven minutes, 23 of an hour, 65 of ten hours."""
JUMP = 0.15
"""LexRank: the share of a sentence's weight that does not come from its likes. The paper takes 0.1 to 0.2."""
NOVELTY = 0.5
"""MMR: what likeness to a chosen sentence costs, against the weight."""
TALK = 0.4
"""Sentences of less weight are small talk, and no key points."""
SPARSE = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85)
"""What a sentence of so few terms is worth: likeness favors short ones, and they say little."""
LEAD = 1.4
"""What the first sentences of a topic stretch, which say what it is about, count more."""
BLOCK = 8
"""Sentences to each side of a place that are compared to see whether the topic changes there."""
SHORTEST = 8
"""Sentences in a topic stretch, at least."""
MOST = 400
"""And at most: the likeness of all pairs is held at once."""
_COMMON = {
    "en": ("the", "and", "to", "of", "a", "is", "that", "it", "you", "we", "i", "in"),
    "de": ("die", "der", "und", "das", "ist", "ich", "wir", "nicht", "den", "es", "zu", "ein"),
}
"""The commonest words; "in" counts for English alone, which does no harm."""


def extract(segments: Sequence[Segment], language: str | None) -> Summary:
    """Summarize by quoting: `text` and `quote` of each point are the words of the transcript, `found` is True.

    language: ISO 639-1 code of the transcript; None: English or German if its words say so. Other languages get an
    overview and key points, and the method says so. The number of key points grows with the square root of the
    length, one for each topic stretch at least; points are in time order. What is marked unreliable is never quoted;
    where that is most of it, the summary is marked too. Nothing to quote gives an empty summary. Decisions, tasks and
    questions are of conversations only: a story has none for its readers, and a speech none for its audience.
    """
    transcript = heard(segments)
    said = sentences(transcript)
    trusted = [sentence for sentence in said if not sentence.unreliable]
    code = language or _guessed(transcript)
    spoken = LANGUAGES.get(code or "")
    method = METHOD if spoken or not trusted else METHOD + ELSEWHERE
    doubt = _doubt(said, trusted)
    if not trusted:
        return Summary(method, unreliable=doubt)
    terms = [content(sentence.text, spoken) for sentence in trusted]
    if spoken is None or not in_conversation(transcript, spoken):
        return Summary(method, *_central(trusted, terms, spoken, frozenset()), unreliable=doubt)
    decided = decisions(transcript, trusted, terms, spoken)
    due = tasks(transcript, trusted, spoken)
    open_questions = questions(trusted, terms, spoken)
    told = frozenset(point.text for point in (*decided, *due, *open_questions))
    return Summary(method, *_central(trusted, terms, spoken, told), decided, due, open_questions, unreliable=doubt)


def _doubt(said: Sequence[Sentence], trusted: Sequence[Sentence]) -> str | None:
    """Whether most of the speech was left out because it cannot be trusted."""
    whole, kept = (sum(one.end_s - one.start_s for one in ones) for ones in (said, trusted))
    if len(trusted) == len(said) or 2 * kept >= whole > 0:
        return None
    return MISTRUSTED if trusted else UNTRUSTED


def _guessed(transcript: Transcript) -> str | None:
    """The language whose commonest words make up a fifth of the transcript, as they do of any speech in it."""
    words = transcript.words
    shares = {code: sum(map(words.count, common)) / max(len(words), 1) for code, common in _COMMON.items()}
    best = max(shares, key=lambda code: shares[code])
    return best if shares[best] >= 0.2 else None


def _central(
    said: Sequence[Sentence], terms: Sequence[Sequence[str]], spoken: Language | None, told: frozenset[str]
) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Overview and key points. The overview is what is nearest to the whole, from each part of the recording.

    told: texts of decisions, tasks and questions: an overview names results, key points rather add to them.
    """
    vectorizer = _vectorizer(terms)
    vectors = vectorizer.transform(terms) if vectorizer else None
    weights = [_weight(sentence, words, spoken) for sentence, words in zip(said, terms, strict=True)]
    minutes = (said[-1].end_s - said[0].start_s) / 60
    thirds = min(3, 1 + len(said) // 4, 2 + round(minutes / 4))
    general = _general(
        vectors, [weight * (1.4 if one.text in told else 1.0) for one, weight in zip(said, weights, strict=True)]
    )
    overview: list[int] = []
    for part in _parts(said, thirds):
        overview += _chosen(part, general, vectors, overview, 1)
    rest = set(range(len(said))) - set(overview)
    wanted = round(FEWEST + PER_ROOT_MINUTE * minutes**0.5)
    stretches = _stretches(said, _depths(vectorizer, terms), spoken, wanted)
    ranks = [0.0] * len(said)
    everywhere = Counter(chain.from_iterable(terms))
    for stretch in stretches:
        topical = _topical([terms[index] for index in stretch], everywhere)
        for place, (index, rank) in enumerate(zip(stretch, _lexrank(vectors, stretch), strict=True)):
            ranks[index] = rank * weights[index] * (LEAD if place < SHORTEST // 2 else 1.0) * (0.5 + topical[place])
            ranks[index] *= 0.5 if said[index].text in told else 1.0
    picked: list[int] = []
    for stretch in stretches:
        left = [index for index in stretch if index in rest and weights[index] >= TALK]
        picked += _chosen(left, ranks, vectors, overview + picked, 1)
    left = [index for index in sorted(rest - set(picked)) if weights[index] >= TALK]
    picked += _chosen(left, ranks, vectors, overview + picked, wanted - len(picked))
    return quotes(said, overview), quotes(said, picked)


def _weight(sentence: Sentence, terms: Sequence[str], spoken: Language | None) -> float:
    """What a sentence is worth besides its words: whether it can stand alone, and whether it announces a topic."""
    weight = 1.0
    if len(terms) < len(SPARSE):
        weight *= SPARSE[len(terms)]
    if len(WORD.findall(sentence.text)) > 45:
        weight *= 0.7
    if sentence.text.endswith(("?", "？")):
        weight *= 0.4
    if spoken and cue(spoken.courtesy).search(sentence.text):
        weight *= 0.25
    if spoken and re.search(spoken.addressed, sentence.text):
        weight *= 0.6
    if spoken and cue(spoken.anaphora).match(sentence.text):
        weight *= 0.7
    if spoken and len(terms) >= 3 and cue(spoken.topic).search(sentence.text):
        weight *= 1.8
    return weight


def _vectorizer(terms: Sequence[Sequence[str]]) -> Any:
    """TF-IDF over the sentences, vectors of length 1. None where there are no terms."""
    if not any(terms):
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=list, sublinear_tf=True).fit(terms)


def _general(vectors: Any, weights: Sequence[float]) -> list[float]:
    """How near each sentence is to the mean of all."""
    if vectors is None:
        return list(weights)
    import numpy as np

    likeness = np.asarray(vectors @ np.asarray(vectors.mean(axis=0)).ravel()).tolist()
    return [value * weight for value, weight in zip(likeness, weights, strict=True)]


def _parts(said: Sequence[Sentence], count: int) -> list[list[int]]:
    """Indices of the sentences that begin in each of `count` equal parts of the time; parts without any left out."""
    start_s, length_s = said[0].start_s, max(said[-1].end_s - said[0].start_s, 0.001)
    parts: list[list[int]] = [[] for _ in range(count)]
    for index, sentence in enumerate(said):
        parts[min(int((sentence.start_s - start_s) / length_s * count), count - 1)].append(index)
    return [part for part in parts if part]


def _chosen(
    candidates: Sequence[int], ranks: Sequence[float], vectors: Any, already: Sequence[int], count: int
) -> list[int]:
    """The candidates of most weight that are not like one chosen before: maximal marginal relevance."""
    if not candidates or count < 1:
        return []
    likeness = dict.fromkeys(candidates, 0.0)
    chosen: list[int] = []

    def worth(index: int) -> float:
        return ranks[index] * (1 - NOVELTY * likeness[index])

    fresh = list(already)
    while len(chosen) < min(count, len(candidates)):
        if vectors is not None and fresh:
            closest = (vectors[candidates] @ vectors[fresh].T).max(axis=1).toarray().ravel()
            likeness = {
                index: max(likeness[index], float(near)) for index, near in zip(candidates, closest, strict=True)
            }
        best = max((index for index in candidates if index not in chosen), key=worth)
        chosen.append(best)
        fresh = [best]
    return chosen


def _lexrank(vectors: Any, stretch: Sequence[int]) -> list[float]:
    """Continuous LexRank of the sentences of one stretch, the most central 1.0."""
    import numpy as np

    if vectors is None:
        return [1.0] * len(stretch)
    rows = vectors[stretch]
    likeness = (rows @ rows.T).toarray()
    sums = likeness.sum(axis=1, keepdims=True)
    steps = np.divide(likeness, sums, out=np.full_like(likeness, 1 / len(stretch)), where=sums > 0)
    ranks = np.full(len(stretch), 1 / len(stretch))
    for _ in range(50):
        ranks = JUMP / len(stretch) + (1 - JUMP) * ranks @ steps
    return [float(rank) for rank in ranks / ranks.max()]


def _topical(terms: Sequence[Sequence[str]], everywhere: Counter[str]) -> list[float]:
    """How much each sentence of a stretch speaks of what recurs there and not elsewhere, the most 1.0."""
    here = Counter(chain.from_iterable(terms))
    sums = [sum((here[term] - 1) * here[term] / everywhere[term] for term in set(words)) for words in terms]
    return [value / (max(sums) or 1.0) for value in sums]


def _stretches(
    said: Sequence[Sentence], depths: Sequence[float], spoken: Language | None, wanted: int
) -> list[list[int]]:
    """Topic stretches, at most as many as key points are wanted, none of them twice as long as its share."""
    announced = [spoken is not None and bool(cue(spoken.topic).search(sentence.text)) for sentence in said]
    depths = [depth + new for depth, new in zip(depths, announced, strict=True)]
    floor = sum(depths) / len(depths)
    longest = 2 * (said[-1].end_s - said[0].start_s) / wanted
    cuts = [0, len(said)]
    for index in sorted(range(1, len(said)), key=lambda index: -depths[index]):
        if len(cuts) > wanted or depths[index] <= floor:
            break
        if min(abs(index - cut) for cut in cuts) >= SHORTEST:
            cuts.append(index)
    cuts = _divided(sorted(cuts), said, depths, longest)
    return [list(range(start, stop)) for start, stop in pairwise(cuts)]


def _divided(cuts: list[int], said: Sequence[Sentence], depths: Sequence[float], longest: float) -> list[int]:
    """Cuts with more of them, each at the deepest place, where a stretch lasts longer than `longest` seconds."""
    done = [cuts[0]]
    waiting = cuts[:0:-1]
    while waiting:
        start, stop = done[-1], waiting[-1]
        inside = range(start + SHORTEST, stop - SHORTEST + 1)
        long = said[stop - 1].end_s - said[start].start_s > longest or stop - start > MOST
        if long and inside:
            waiting.append(max(inside, key=lambda index: depths[index]))
        else:
            done.append(waiting.pop())
    return done


def _depths(vectorizer: Any, terms: Sequence[Sequence[str]]) -> list[float]:
    """How deep the likeness of what is before and behind each sentence dips below its surroundings: TextTiling."""
    count = len(terms)
    if vectorizer is None or count < 2 * SHORTEST:
        return [0.0] * count
    import numpy as np

    before = vectorizer.transform(chain.from_iterable(terms[max(at - BLOCK, 0) : at]) for at in range(count))
    after = vectorizer.transform(chain.from_iterable(terms[at : at + BLOCK]) for at in range(count))
    likeness: list[float] = np.asarray(before.multiply(after).sum(axis=1)).ravel().tolist()
    return [0.0, *(_depth(likeness, index) for index in range(1, count))]


def _depth(likeness: Sequence[float], index: int) -> float:
    """From a place up to the nearest peak on either side, added up."""
    left = right = index
    while left > 1 and likeness[left - 1] >= likeness[left]:
        left -= 1
    while right < len(likeness) - 1 and likeness[right + 1] >= likeness[right]:
        right += 1
    return likeness[left] + likeness[right] - 2 * likeness[index]
