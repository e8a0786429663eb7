"""How people decide, promise and ask: patterns over sentences, for the languages in `LANGUAGES`.

In go Sentences, out come Points that quote them. A pattern names a way of speaking, never a topic; it rather misses a
task than invents one, because a lecture has none. Knows no weights and no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from audiocli.grounding import WORD, Sentence, Transcript, doubts
from audiocli.records import Point

INFERRED = "who it is was taken from who was spoken to by name"
TWIN = 0.5
"""Two decisions, tasks or questions that share so much of their words are one, said twice."""
FEW = 5
"""Words for people are a hint from so many on."""
_UNANSWERED, _POINTED, _UNKNOWN, _STATED = 1, 2, 3, 4
"""How plainly something is left open: by the reply, by "that is open", by not knowing, by saying what is open."""
_SUBJECT = r"(?:^|[,;]\s+(?:and\s+|und\s+)?|\b(?:and|und)\s+)(NAME|I|ich)\s+(?=[^\W\d_])"
"""Where somebody's part of a sentence begins: a name or "I", and a verb."""


@dataclass(frozen=True, slots=True)
class Language:
    """How one language decides, promises, asks and dates. Patterns ignore case but for names, NAME in them."""

    stop: frozenset[str]
    """Words that do not say what a sentence is about."""
    endings: tuple[str, ...]
    """What is taken off a word so that its forms are one, the first that leaves three letters."""
    topic: str
    """Announces what will be spoken about."""
    decided: str
    """Several people settle something."""
    undecided: str
    """A sentence with this decides nothing."""
    own: str
    """How speakers call themselves."""
    date: str
    """A day to come, with the preposition before it."""
    deadline: str
    """How a date begins that something is due by."""
    addressed: str
    """Somebody is spoken to, by the name in a group. Minds the case."""
    promise: str
    """What is to be done is the group `verb` here and below; `firm` if it needs no date, `us` if it is for all."""
    request: str
    """Asks somebody, `who` if by name."""
    duty: str
    """Lays down what `who` will do."""
    report: str
    """That of somebody, in the present: "Ann brings the figures on Friday". Holds only with a date."""
    idle: str
    """What is done by talking: no task, unless there is a day it is due by."""
    open: str
    """Something is said to be open."""
    clause: str
    """How a sentence goes on that says what is open."""
    unknown: str
    """Somebody does not know, or cannot decide."""
    unsure: str
    """A reply that leaves a question open."""
    courtesy: str
    """What is said to be polite."""
    anaphora: str
    """How a sentence begins that cannot be understood without the one before."""
    told: str
    """A sentence with this tells what somebody said, as stories do."""
    others: frozenset[str]
    """Words for people who are spoken about, and for those who speak and listen:"""
    present: frozenset[str]
    audience: str
    """Said to the public, which neither decides nor takes anything on."""
    far: str
    """A day so far off that what all of us will do by then is a plan, not a task."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Something that somebody is to do, as it was said once."""

    sentence: Sentence
    text: str
    terms: frozenset[str]
    strength: int
    """3 promised, 2 asked for, 1 laid down, 0 reported."""
    who: str | None
    when: str | None
    inferred: bool = False


def content(text: str, spoken: Language | None) -> list[str]:
    """The words of a text that say what it is about, their endings taken off."""
    words = [match.group().casefold() for match in WORD.finditer(text)]
    if spoken is None:
        return words
    return [
        _stem(word, spoken.endings) for word in words if word not in spoken.stop and (len(word) > 1 or word.isdigit())
    ]


def _stem(word: str, endings: Sequence[str]) -> str:
    return next((word[: -len(end)] for end in endings if word.endswith(end) and len(word) >= len(end) + 3), word)


@cache
def cue(source: str, names: tuple[str, ...] = ()) -> re.Pattern[str]:
    """A cue with the names of those who take part where it says NAME, which keep their case."""
    known = "|".join(map(re.escape, names)) or r"(?!)"
    return re.compile(source.replace("NAME", f"(?-i:{known})"), re.IGNORECASE)


def quotes(said: Sequence[Sentence], indices: Iterable[int]) -> tuple[Point, ...]:
    return tuple(quoted(said[index]) for index in sorted(indices))


def quoted(sentence: Sentence) -> Point:
    text, doubt = sentence.text, sentence.unreliable
    return Point(text, sentence.start_s, sentence.end_s, quote=text, found=True, doubt=doubt)


def in_conversation(transcript: Transcript, spoken: Language) -> bool:
    """Whether people speak with each other here, rather than a narrator to readers or a speaker to the public.

    Stories are told by who is spoken about, talk by who speaks and who listens; few such words decide nothing.
    """
    others, present = (sum(word in words for word in transcript.words) for words in (spoken.others, spoken.present))
    return not cue(spoken.audience).search(transcript.text) and not (others >= FEW and others > present)


def decisions(
    transcript: Transcript, said: Sequence[Sentence], terms: Sequence[Sequence[str]], spoken: Language
) -> tuple[Point, ...]:
    """Sentences in which several people settle something; where that is but "Agreed.", with what was said before it."""
    found = [index for index, sentence in enumerate(said) if _settles(sentence.text, spoken)]
    points = {}
    for index in found:
        both = f"{said[index - 1].text} {said[index].text}"
        bare = content(cue(spoken.decided).sub(" ", said[index].text), spoken)
        back = len(bare) < 2 and index and index - 1 not in found and len(set(terms[index - 1])) > 2
        if back and both in transcript.text:
            points[index] = quoted(replace(said[index - 1], text=both, end_s=said[index].end_s))
        elif len(set(terms[index])) > 1:
            points[index] = quoted(said[index])
    return tuple(points[index] for index in _apart(sorted(points), terms))


def _settles(text: str, spoken: Language) -> bool:
    narrated = cue(spoken.told).search(text) or cue(spoken.undecided).search(text)
    return not narrated and cue(spoken.decided).search(text) is not None


def tasks(transcript: Transcript, said: Sequence[Sentence], spoken: Language) -> tuple[Point, ...]:
    """What somebody is to do, each once, in time order; who comes from the sentence, the speaker, or who was named."""
    names = _names(said, spoken)
    found: list[_Task] = []
    for index, sentence in enumerate(said):
        told = cue(spoken.told).search(sentence.text)
        for text in _clauses(sentence.text, names) if not told else ():
            task = _task(sentence, text, spoken, names, listed=text != sentence.text)
            if task and task.who is None and task.strength == 3:
                task = _answering(task, said[max(index - 2, 0) : index], said[index + 1 : index + 2], spoken, names)
            if task:
                found.append(task)
    merged: list[_Task] = []
    for task in found:
        twin = next((at for at, other in enumerate(merged) if _one(other, task, spoken)), None)
        if twin is None:
            merged.append(task)
        else:
            merged[twin] = _both(merged[twin], task)
    points = (_assigned(task, transcript) for task in merged)
    return tuple(sorted(points, key=lambda point: point.start_s or 0.0))


def _clauses(text: str, names: tuple[str, ...]) -> list[str]:
    """A sentence in parts, where it lists what several people do: "Ann calls by Friday, Ben writes, and I pay"."""
    starts = list(cue(_SUBJECT, names).finditer(text))
    cuts = [0]
    for before, match in pairwise(starts):
        if match[1] != before[1]:
            cuts.append(match.start(1))
    parts = [text[start:stop] for start, stop in zip(cuts, [*cuts[1:], len(text)], strict=True)]
    return [re.sub(r"[\s,;]+(?:and|und)?\s*$", "", part) for part in parts]


def _task(sentence: Sentence, text: str, spoken: Language, names: tuple[str, ...], *, listed: bool) -> _Task | None:
    """The task a clause gives to somebody; None where it gives none, or only one that is done by talking.

    listed: the clause is one of several about several people, so that "I pay tomorrow" is a task in it.
    """
    date = cue(spoken.date).search(text)
    due = date is not None and cue(spoken.deadline).match(date.group()) is not None
    terms = frozenset(content(text, spoken))
    patterns = ((2, spoken.request), (3, spoken.promise), (1, spoken.duty), (0, spoken.report))
    for strength, pattern in patterns:
        match = None if text.endswith("?") and strength != 2 else cue(pattern, names).search(text)
        if match is None or (cue(spoken.idle).match(text, match.start("verb")) and not due):
            continue
        groups = match.groupdict()
        who = groups.get("us") or groups.get("who") or groups.get("self")
        own = who is None if strength == 3 else who is not None and who.casefold() == spoken.own
        if (strength == 0 and own and not listed) or (
            groups.get("us") and date and cue(spoken.far).search(date.group())
        ):
            continue
        firm = groups.get("firm") or (strength == 2 and who)
        if date or (firm and len(names) > 1 and len(terms) >= 3):
            return _Task(sentence, text, terms, strength, sentence.speaker if own else who, date and date.group())
    return None


def _answering(
    task: _Task, before: Sequence[Sentence], after: Sequence[Sentence], spoken: Language, names: tuple[str, ...]
) -> _Task:
    """Who promises, where no label says it: whoever is thanked by name at once, or was spoken to just before."""
    thanks = [sentence for sentence in after if cue(spoken.courtesy).search(sentence.text)]
    for sentence in (*thanks, *reversed(before)):
        called = [name for match in re.finditer(spoken.addressed, sentence.text) for name in match.groups() if name]
        known = [name for name in called if name in names]
        if known:
            return replace(task, who=known[-1], inferred=True)
    return task


def _one(task: _Task, other: _Task, spoken: Language) -> bool:
    """Whether two mentions are of one task: the same day or none, the same person or one not known, common words."""
    days = [set(content(one.when, spoken)) for one in (task, other) if one.when]
    if len(days) == 2 and not (days[0] <= days[1] or days[1] <= days[0]):
        return False
    same_person = task.who is not None and task.who == other.who
    if not same_person and task.who and other.who and not (task.inferred or other.inferred):
        return False
    shared = (task.terms & other.terms) - set().union(*days)
    if len(days) == 2:
        return len(shared) >= (1 if same_person else 2)
    return len(shared) >= 2 and len(shared) >= TWIN * min(len(task.terms), len(other.terms))


def _both(task: _Task, other: _Task) -> _Task:
    """The mention that promises more strongly, with what only the other one knows."""
    best, rest = (other, task) if other.strength > task.strength else (task, other)
    certain = best if best.who and not best.inferred else rest if rest.who and not rest.inferred else best
    return replace(best, who=certain.who, inferred=certain.inferred, when=best.when or rest.when)


def _assigned(task: _Task, transcript: Transcript) -> Point:
    point = quoted(task.sentence)
    if task.text != task.sentence.text:
        times = transcript.find(task.text, task.sentence.start_s)
        point = replace(point, text=task.text, quote=task.text)
        point = replace(point, start_s=times[0], end_s=times[1]) if times else point
    doubt = doubts(point.doubt, INFERRED if task.inferred else None)
    return replace(point, who=task.who, when=task.when, doubt=doubt)


def questions(said: Sequence[Sentence], terms: Sequence[Sequence[str]], spoken: Language) -> tuple[Point, ...]:
    """What was said to be open, and questions whose reply leaves them open."""
    found = {index: _openness(index, said, terms, spoken) for index in range(len(said))}
    kept = {index for index, openness in found.items() if openness == _STATED}
    for index, openness in found.items():
        if openness == _UNANSWERED:
            plainer = [
                other
                for other in range(index - 6, index + 7)
                if other in kept and set(terms[other]) & set(terms[index])
            ]
        else:
            plainer = [other for other in (index - 1, index + 1) if found.get(other, 0) > openness]
        if 0 < openness < _STATED and not plainer:
            kept.add(index if openness != _POINTED else _asked(index, said))
    return quotes(said, _apart(sorted(kept), terms))


def _openness(index: int, said: Sequence[Sentence], terms: Sequence[Sequence[str]], spoken: Language) -> int:
    """How plainly a sentence leaves something open: from 0, not at all, to `_STATED`, saying what."""
    text = said[index].text
    if cue(spoken.told).search(text):
        return 0
    if text.endswith("?"):
        reply = said[index + 1].text if index + 1 < len(said) else ""
        return _UNANSWERED if terms[index] and cue(spoken.unsure).match(reply) else 0
    if cue(spoken.open).search(text):
        return _STATED if cue(spoken.clause).search(text) or len(set(terms[index])) > 4 else _POINTED
    return _UNKNOWN if cue(spoken.unknown).search(text) else 0


def _asked(index: int, said: Sequence[Sentence]) -> int:
    """What "that is an open question" points to: the question before it, if there is one near."""
    return next(
        (before for before in range(index - 1, max(index - 5, -1), -1) if said[before].text.endswith("?")), index
    )


def _apart(indices: Sequence[int], terms: Sequence[Sequence[str]]) -> list[int]:
    """Those that do not repeat one before."""
    kept: list[int] = []
    for index in indices:
        words = set(terms[index])
        if not any(len(words & set(terms[one])) >= TWIN * len(words | set(terms[one])) for one in kept):
            kept.append(index)
    return kept


def _names(said: Sequence[Sentence], spoken: Language) -> tuple[str, ...]:
    """Who takes part: the speakers' labels, and whoever is spoken to by a name that is written as one throughout."""
    text = "\n".join(sentence.text for sentence in said)
    common = set(re.findall(r"\b[^\W\d_A-ZÄÖÜ]\w*", text)) | spoken.stop
    called = {name for match in re.finditer(spoken.addressed, text, re.MULTILINE) for name in match.groups() if name}
    labels = {sentence.speaker for sentence in said if sentence.speaker}
    return tuple(sorted(labels | {name for name in called if name.casefold() not in common}, key=len, reverse=True))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EN_STOP = _words(
    "a about above after again all alright also always am an and any anybody anything are aren around as at"
    " back be because been before being below between both but by can cannot could couldn d did didn do does"
    " doesn doing don done down during each either else even ever every everybody everyone everything few for"
    " from further get gets getting give go goes going gone good got had hadn has hasn have haven having he"
    " her here hers herself him himself his how however i if in into is isn it its itself just know let like"
    " ll m made make makes many may maybe me mean might mine more most much must my myself need neither never"
    " no nobody none nor not nothing now of off often oh ok okay on once one only onto or other others our"
    " ours out over own perhaps please put quite rather re really right s said same say see seem shall she"
    " should shouldn since so some somebody someone something still such sure t take tell than that the their"
    " theirs them themselves then there these they thing things think this those though through to too toward"
    " towards under until up upon us ve very want was wasn we well were weren what when where whether which"
    " while who whole whom whose why will with within without won would wouldn yeah yes yet you your yours"
    " yourself zero two three four five six seven eight nine ten hundred"
)
_DE_STOP = _words(
    "aber alle allem allen aller alles als also am an auch auf aus bei bin bis bist da damit dann das dass"
    " dein dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein"
    " eine einem einen einer eines einmal er es etwas euch euer für gar gegen gut habe haben hat hatte hatten"
    " hier hin ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jeden jeder jedes jetzt kann"
    " kein keine keinen können könnte mal man mehr mein meine mich mir mit muss müssen nach nein nicht nichts"
    " noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner sich sie sind so soll sollte"
    " sollten sondern um und uns unser unsere unter viel vom von vor war waren warum was weil wenn wer werde"
    " werden wie wieder will wir wird wo wollen während würde würden zu zum zur zwar zwischen über bitte"
    " null zwei drei vier fünf sechs sieben acht neun zehn hundert"
)
_EN_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_EN_MONTH = r"(?:january|february|april|june|july|august|september|october|november|december|(?-i:March|May))"
_EN_DAY = (
    rf"(?:(?:next|this|coming)\s+)?{_EN_WEEKDAY}(?:\s+(?:morning|afternoon|evening|night))?\b"
    r"|tomorrow(?:\s+(?:morning|afternoon|evening|night))?|tonight|today"
    rf"|(?:the\s+)?end\s+of\s+(?:(?:the|this|next)\s+)?(?:day|week|month|quarter|year|{_EN_MONTH})"
    rf"|(?:the\s+)?(?:first|second|third|last)\s+week\s+of\s+{_EN_MONTH}"
    rf"|{_EN_MONTH}(?:\s+(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?)?\b|(?:the\s+)?\d{{1,2}}(?:st|nd|rd"
    rf"|th)(?:\s+of\s+{_EN_MONTH})?\b"
    r"|this\s+(?:morning|afternoon|evening)|later\s+today|right\s+(?:away|after\s+th(?:is|at))"
    r"|(?:next|this)\s+(?:week|weekend|month|quarter|year|spring|summer|autumn|fall|winter)|noon"
)
_EN_DUE = r"(?:no\s+later\s+than|by|before|until|till)\s+"
_EN_PEOPLE = (
    "colleagues?|assistant|team|department|manager|boss|lawyers?|engineers?|technicians?|doctor|office|secretary"
    "|partners?|staff|supplier|contractor|accountant|agency"
)
_EN_MODAL = r"(?:will|(?:is|are)\s+going\s+to|ha(?:s|ve)\s+to|needs?\s+to|must|should|(?:agreed|promised)\s+to)"
_EN_SOON = r"(?:also\s+|then\s+|just\s+|try\s+to\s+|make\s+sure\s+to\s+|gladly\s+|definitely\s+|personally\s+)*"
_ENGLISH = Language(
    stop=_EN_STOP,
    endings=("ing", "ed", "es", "s", "e"),
    topic=r"\b(?:(?:first|second|third|fourth|fifth|next|last|final|other|main)\s+(?:point|topic|item|question|issue"
    r"|step|part|thing|subject|agenda)\b|on\s+the\s+agenda|move\s+on\s+to|(?:points?|topics?|items?)\s+today"
    r"|turn\s+to\s+the|calling\s+(?:about|because)|it['’]s\s+about\s+(?:my|our|the)|most\s+important|the\s+point\s+is|in\s+(?:short|summary|conclusion)|to\s+sum\s+up)",
    decided=r"\b(?:we|we've|we’ve|the\s+(?:board|team|group|committee|council))\s+(?:(?:have|has|all|both|just|now"
    r"|also|finally|unanimously|therefore)\s+)*(?:decided|agreed|resolved|settled|voted|chose|opted|approved)\b"
    r"|\blet(?:['’]?s|\s+us)\s+(?:all\s+|now\s+|then\s+)?(?:agree|decide|settle\s+on|go\s+with(?!\s+(?:him|her|them|me"
    r"|you)\b)|stick\s+(?:to|with)|postpone|cancel|approve|adopt)\b|\bit\s+(?:is|was"
    r"|has\s+been)\s+(?:now\s+)?(?:decided|agreed|settled)\b|\b(?:the|our)\s+decision\s+is\b|\b(?:it['’]s|that['’]s"
    r"|that\s+is)\s+(?:decided|agreed|settled)\b|\bwe(?:['’]re|\s+are)\s+(?:agreed\b|going\s+with\b)"
    r"|\bso\s+we\s+(?:agree|decide)\b",
    undecided=r"\?$|\b(?:not|never|n['’]t|nothing|if\s+we|when\s+we|once\s+we|before\s+we"
    r"|until\s+we\s+(?:have\s+)?(?:decide|agree)|should\s+we|whether\s+we)\b.{0,20}\b(?:decide|agree|settle|vote"
    r"|resolve|chose|cho?ose|opt|approve)|\b(?:last\s+(?:year|month|summer|winter|spring|autumn|lecture|time)"
    r"|years?\s+ago|back\s+then|in\s+those\s+days)\b",
    own="i",
    date=rf"\b(?:(?:{_EN_DUE}|on\s+|from\s+|in\s+(?={_EN_MONTH})|at\s+(?=noon|the\s+end))?(?:{_EN_DAY})"
    r"|(?:by|until|till)\s+then|(?:with)?in\s+(?:an?|one|two|three|four|five|six|ten|\d+)\s+(?:working\s+"
    r"|business\s+)?(?:hours?|days?|weeks?|months?))",
    deadline=_EN_DUE,
    addressed=r"(?:^|[.,!?]\s)([A-Z][a-z]+),\s+(?:please|(?:could|can|would|will)\s+(?:you|we)|you|what|when|why|how"
    r"|where|do|did|are|have)\b|\w,\s+([A-Z][a-z]+)[.?!](?:$|\s)|\b(?:[Tt]hank\s+you|[Tt]hanks|[Hh]i|[Hh]ello|[Oo]kay"
    r"|[Ww]ell),?\s+([A-Z][a-z]+)[,.!?]",
    promise=rf"\b(?:(?P<firm>I(?:['’]ll|\s+will|['’]m\s+going\s+to|\s+am\s+going\s+to|\s+promise\s+to))"
    rf"|(?P<us>we)(?:['’]ll|\s+will)|I\s+(?:have|need)\s+to)\s+{_EN_SOON}(?P<verb>\w+)",
    request=r"(?:(?:^|[.,!?]\s+)(?P<who>NAME),\s+)?(?:\bplease|\b(?:could|can|would"
    r"|will)\s+you(?:\s+please)?)\s+(?P<verb>\w+)",
    duty=rf"\b(?P<who>NAME|(?:my|our|your|the)\s+(?:{_EN_PEOPLE})|someone|somebody)(?:['’]ll"
    rf"|\s+{_EN_MODAL})\s+{_EN_SOON}(?P<verb>\w+)",
    report=r"^(?:(?P<who>NAME)\s+(?=\w+s\b)|(?P<self>I)\s+)(?P<verb>(?!am\b|was\b|had\b|did\b|do\b|would\b|could\b"
    r"|can\w*\b|know\b|think\b|\w+ed\b)\w+)\b",
    idle=r"(?:be|have|do|go|see|say|come|think|know|show|explain|tell|talk|try|start|begin|give|let|remember|assume"
    r"|mention|return|get|stop|like|want|need|feel|love|hate|stay|wait|not|never|only|use|define|prove|introduce"
    r"|describe|discuss|focus|cover|skip|draw|denote|demonstrate|illustrate|turn|move|continue|summari[sz]e|read|argue"
    r"|note|listen|look|hear|repeat|help|hold|pass|speak|mute|scroll|sit|excuse|forgive|imagine|confirm|remind|is|has"
    r"|was|does|says|thinks|\w+\s+(?:it|this|that|these|those|them))\b",
    open=r"\bopen\s+(?:question|issue|point)|\b(?:remains?|is|are|still)\s+(?:still\s+)?(?:open|unclear|undecided"
    r"|unresolved|to\s+be\s+seen)\b|\bto\s+be\s+(?:decided|determined|clarified)\b|\b(?:have"
    r"|need)\s+to\s+(?:find\s+out|figure\s+out|clarify)\s+(?:whether|if|how|what|who|when|why|where)\b|\b(?:have"
    r"|has)(?:\s+not|n['’]t)\s+(?:yet\s+)?(?:been\s+)?decided\b",
    clause=r"\b(?:whether|if|how|what|who|when|why|where|which)\b",
    unknown=r"\b(?:do\s+not|don['’]t|cannot|can['’]t)\s+(?:yet\s+)?(?:know|decide|say)\s+(?:yet\s+)?(?:whether|if\s+we"
    r"|that\s+(?:today|now|yet))\b|\bnot\s+(?:yet\s+)?(?:sure|clear)\s+(?:yet\s+)?whether\b",
    unsure=r"(?:[\w'’]+,?\s+){0,2}(?:I|we)\s+(?:do\s+not|don['’]t)\s+(?:really\s+)?know\b|good\s+question|nobody\s+knows"
    r"|(?:[\w'’]+,?\s+){0,2}(?:not|no)\s+(?:sure|idea)\b|(?:we|I)\s+(?:have|need)\s+to\s+(?:check|find\s+out)",
    courtesy=r"\b(?:thank\s+you|thanks|good\s+(?:morning|afternoon|evening|night|bye)|goodbye|welcome"
    r"|sorry\s+to\s+hear|how\s+can\s+I\s+help|my\s+name\s+is|happy\s+birthday|nice\s+to|glad\s+to|hope\s+(?:you"
    r"|the\s+rest)|see\s+you)\b",
    anaphora=r"(?:it|this|that|these|those|they|he|she|so|and|but|because|or|then|yes|no|well|there|which)\b",
    told=r"[,.!?][\"”]|^[\"“]|[,;]\s+(?:(?:I|we|(?:the|her|his|my|our|an?)\s+)?\w+\s+)?(?:said|asked|cried|replied"
    r"|thought|answered|whispered|shouted|exclaimed|told)\b",
    others=_words("he she him her his hers himself herself"),
    present=_words("i you we me us my your our"),
    audience=r"\b(?:my|our)\s+fellow\s+\w+|\bfellow\s+(?:citizens|americans)\b|\bgod\s+bless\b",
    far=r"\b(?:years?|spring|summer|autumn|fall|winter)\b",
)

_DE_WEEKDAY = r"(?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|sonntag)"
_DE_MONTH = r"(?:januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember)"
_DE_NEXT = r"(?:nächste[nrms]?|kommende[nrms]?|diese[nrms]?|dem|den|zum)\s+"
_DE_DAY = (
    rf"(?:{_DE_NEXT})*{_DE_WEEKDAY}(?:\s+(?:früh|vormittag|mittag|nachmittag|abend))?\b"
    r"|(?:über)?morgen(?:\s+(?:früh|vormittag|mittag|nachmittag|abend))?\b|heute(?:\s+\w*(?:mittag|abend|nacht))?\b"
    rf"|(?:{_DE_NEXT})(?:woche|monat|quartal|jahr(?:es)?|wochenende)\b"
    rf"|(?:zum\s+)?ende\s+(?:der|des|dieser|dieses|nächster|nächsten)\s+(?:woche|monats|quartals|jahres)"
    rf"|ende\s+{_DE_MONTH}"
    rf"|(?:zum\s+)?\d{{1,2}}\.\s*{_DE_MONTH}|wochenende\b|jahresende\b|monatsende\b"
)
_DE_DUE = r"(?:bis\s+spätestens|spätestens|bis|vor)\s+"
_DE_PEOPLE = (
    r"kolleg(?:e|in|en)|team|abteilung|chef(?:in)?|anwalt|anwältin|techniker(?:in)?|büro|partner(?:in)?|lieferant"
)
_DE_MODAL = r"(?:wird|werden|muss|müssen|soll|sollen|sollte)"
_GERMAN = Language(
    stop=_DE_STOP,
    endings=("ungen", "ung", "en", "er", "em", "es", "e", "n", "s", "t"),
    topic=r"\b(?:erste[nrs]?|zweite[nrs]?|dritte[nrs]?|vierte[nrs]?|nächste[nrs]?|letzte[nrs]?)\s+(?:punkt|thema|frage"
    r"|schritt|teil)\b|\b(?:punkte|themen)\s+(?:heute|auf)\b|\bkommen\s+wir\s+zu|\btagesordnung\b|\bam\s+wichtigsten\b"
    r"|\bzusammengefasst\b|\bkurz\s+gesagt\b|\bgeht\s+um\b|\brufe\s+(?:\w+\s+)?(?:wegen|weil)\b|\b(?:reden|sprechen)\s+(?:wir\s+)?über\b",
    decided=r"\b(?:wir|uns|vorstand|team|ausschuss)\b.*\b(?:beschlossen|entschieden|vereinbart|geeinigt|festgelegt"
    r"|verständigt|beschließen|vereinbaren)\b|\beinigen\s+wir\s+uns\b|\b(?:es|damit|somit)\s+(?:ist"
    r"|wurde)\s+(?:\w+\s+)?(?:beschlossen|entschieden|vereinbart)\b|\bes\s+bleibt\s+dabei\b"
    r"|\bwir\s+halten\s+(?:also\s+)?fest\b|\bl(?:asst|ass)\s+uns\b.*\b(?:festhalten|festlegen|vereinbaren|bleiben"
    r"|nehmen)\b",
    undecided=r"\?$|\b(?:nicht|nichts|nie|kein\w*|ob|wenn|falls|bevor|sobald)\b.*\b(?:beschlossen|entschieden"
    r"|vereinbart|geeinigt|festgelegt|verständigt|beschließen|vereinbaren)\b|\b(?:hatten|letztes\s+(?:jahr|mal)"
    r"|vor\s+\w+\s+jahren|damals)\b",
    own="ich",
    date=rf"\b(?:(?:{_DE_DUE}|am\s+|ab\s+|im\s+(?={_DE_MONTH})|in\s+(?={_DE_NEXT})|zum\s+)?(?:{_DE_DAY})"
    r"|bis\s+dahin|(?:in|innerhalb\s+von)\s+(?:eine[rmn]|zwei|drei|vier|fünf|\d+)\s+(?:stunden?|tag(?:en)?|wochen?"
    r"|monat(?:en)?))",
    deadline=_DE_DUE,
    addressed=r"(?:^|[.,!?]\s)([A-ZÄÖÜ][a-zäöüß]+),\s+(?:bitte|kannst|könntest|würdest|wirst|hast|bist|du|können|was"
    r"|wann|wie|wo|warum)\b|\w,\s+([A-ZÄÖÜ][a-zäöüß]+)[.?!](?:$|\s)|\b(?:[Dd]anke|[Hh]allo|[Ss]ervus"
    r"|[Gg]ut),?\s+([A-ZÄÖÜ][a-zäöüß]+)[,.!?]",
    promise=r"\b(?:(?P<firm>(?:ich\s+werde|werde\s+ich))|(?P<us>wir)\s+werden|ich)\s+(?:(?:dann|das|es|auch|noch|mal"
    r"|also)\s+)*(?P<verb>(?!(?:bin|war|hatte|wollte|konnte|musste|würde|könnte)\b)\w+)",
    request=r"(?:(?:^|[.,!?]\s+)(?P<who>NAME),\s+)?\b(?:bitte|(?:kannst|könntest|würdest|magst)\s+du(?:\s+bitte)?"
    r"|(?:könnten|würden|können)\s+sie(?:\s+bitte)?)\s+(?P<verb>\w+)",
    duty=rf"\b(?P<who>NAME|(?:mein|meine|unser|unsere|der|die|das)\s+(?:{_DE_PEOPLE})"
    rf"|jemand)\s+{_DE_MODAL}\s+(?P<verb>\w+)",
    report=r"^(?P<who>NAME|ich)\s+(?P<verb>\w*(?:[^\Wt]e|[^\We]t))\b",
    idle=r"(?:bin|ist|habe|hat|hatte|weiß|glaube|denke|finde|meine|sage|sagen|sehe|sehen|komme|gehe|mag|will|kann|muss"
    r"|möchte|sein|haben|nicht|nie|nur|zeige|zeigen|erkläre|erklären|erzähle|erzählen|rede|reden|spreche|sprechen"
    r"|hören|warte|warten|fange|beginne|machen|lass|lassen|schau|schauen|merken|beachten|entschuldigen|wiederholen"
    r"|nehmen|setzen)\b",
    open=r"\boffene[nrs]?\s+(?:frage|punkt)|\b(?:bleibt|ist|noch)\s+(?:noch\s+)?(?:offen|unklar|ungeklärt)\b"
    r"|\boffen\s+bleibt\b|\b(?:klären|herausfinden)(?:\s+wir)?,?\s+(?:ob|wie|was|wer|wann|warum|wo)\b"
    r"|\bnoch\s+nicht\s+(?:entschieden|geklärt|klar)\b|\bsteht\s+noch\s+nicht\s+fest\b",
    clause=r"\b(?:ob|wie|was|wer|wann|warum|wo|welche[nrs]?)\b",
    unknown=r"\b(?:weiß|wissen)\s+(?:ich\s+|wir\s+)?(?:noch\s+)?nicht,?\s+ob\b"
    r"|\bkann\s+ich\s+heute\s+nicht\s+entscheiden\b",
    unsure=r"(?:\w+,?\s+){0,2}(?:weiß\s+ich|ich\s+weiß|wissen\s+wir|wir\s+wissen)(?:\s+es)?\s+(?:leider\s+|noch\s+"
    r"|auch\s+)*nicht\b|(?:\w+,?\s+){0,2}keine\s+ahnung|gute\s+frage|das\s+müssen\s+wir\s+(?:noch\s+)?(?:klären"
    r"|prüfen)",
    courtesy=r"\b(?:danke|vielen\s+dank|guten\s+(?:morgen|tag|abend)|hallo|tschüss|auf\s+wiedersehen|willkommen"
    r"|tut\s+mir\s+leid|mein\s+name\s+ist|alles\s+gute|freut\s+mich)\b",
    anaphora=r"(?:es|das|dies|diese[rs]?|sie|er|also|und|aber|denn|weil|oder|dann|ja|nein|naja|da|dort)\b",
    told=r"[,.!?][\"”“«]|^[\"„“»]|[,;]\s+(?:sagte|fragte|rief|dachte|antwortete|meinte|erwiderte|flüsterte|erklärte)\b",
    others=_words("er ihn ihm seine seinen seinem seiner sagte dachte fragte"),
    present=_words("ich du wir mich mir dich dir uns euch unser unsere mein meine dein deine ihnen"),
    audience=r"\b(?:liebe\s+)?mitbürger(?:innen)?\b|\bgott\s+(?:segne|schütze)\b",
    far=r"\b(?:jahr\w*|frühling|sommer|herbst|winter)\b",
)

LANGUAGES = {"en": _ENGLISH, "de": _GERMAN}
"""Languages whose decisions, tasks and questions are known, by ISO 639-1 code."""
