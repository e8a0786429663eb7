"""What language models wrap around an answer: the text of a reply in, the answer out, and what was taken off it.

Told to write down what is said and nothing else, audio-LLMs still announce the transcript ("The original content of
this audio is: '…'" is what Qwen2-Audio answers in the tests of transformers), quote it, fence it, offer more help, or
talk about the recording instead. Speech can begin with the same words, so a wrapper is only what is built like one: an
announcement that names the recording or the transcript, a colon, and a line break or quotes around all the rest. What
is kept is always one stretch of the reply, unchanged. Knows no engine and no prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audiocli.languages import LANGUAGES

SPOKEN = ("transcribe", "translate")
"""Tasks whose answer is what was said. Of the others' answers every word is the model's: less is taken off them, and
only what is not part of an answer to anything."""

LONGEST_REFUSAL = 700
"""Characters. Models refuse briefly; half a minute of speech that mentions recordings is about as long as this."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """An answer, and what stood around it."""

    text: str
    """One stretch of the reply; all of it, unchanged, where nothing was taken off. "" where the reply says no more than
    that nobody speaks."""
    refused: str | None = None
    """Why this is no answer, in words that go on from "the model …"; None where nothing speaks against it."""
    removed: str = ""
    """What was taken off, "…" for what stood between; "" where nothing was."""


def unwrapped(text: str, task: str) -> Unwrapped:
    """The answer within a reply.

    task: what was asked for, as prompts name it; for `SPOKEN` the answer is speech. Unwrapping twice changes nothing
    more. Empty text gives an empty answer that is not refused.
    """
    start, stop = _answer(text, _STEPS.get(task, _WRITTEN_STEPS))
    kept = text[start:stop]
    around = (text[:start].strip(), text[stop:].strip()) if kept else (text.strip(),)
    removed = "" if kept == text else " … ".join(filter(None, around))
    return Unwrapped(kept, _refused(kept, removed, task in SPOKEN), removed)


_Stretch = tuple[int, int]
_Step = Callable[[str, bool], "_Stretch | None"]
"""From a text, and whether it was announced, to the stretch of it that is left; None where there is nothing to do."""


def _answer(text: str, steps: Sequence[_Step]) -> _Stretch:
    """Where the answer stands in the reply, once no step finds anything more to take off.

    Each step is told whether an announcement came before: then it may take off more. What stood in quotes or in a code
    fence is the transcript itself, and treated as if nothing had come before.
    """
    start, stop, announced = 0, len(text), False
    while found := _first(steps, text[start:stop], announced):
        step, stretch = found
        start, stop = _trimmed(text, start + stretch[0], start + stretch[1])
        announced = step in _ANNOUNCING or (announced and step not in (_without_quotes, _without_fence))
    return start, stop


def _first(steps: Sequence[_Step], text: str, announced: bool) -> tuple[_Step, _Stretch] | None:
    return next(((step, stretch) for step in steps if (stretch := step(text, announced)) is not None), None)


def _trimmed(text: str, start: int, stop: int) -> _Stretch:
    inner = text[start:stop]
    start += len(inner) - len(inner.lstrip()) if inner.strip() else 0
    return start, start + len(inner.strip())


# Marks that no voice can say


_THOUGHT = re.compile(r".*</think(?:ing)?>", re.DOTALL)
_THINKING = re.compile(r"\s*<think(?:ing)?>")
_TOKENS = re.compile(r"\s*(?:<\|[\w.-]{1,24}\|>\s*)+")
_LAST_TOKENS = re.compile(r"(?<!\|>)(?<!</s>)(?:(?:<\|[\w.-]{1,24}\|>|</s>)\s*)+\Z")
_QWEN3_ASR = re.compile(r"\s*language [\w ,-]{1,60}<asr_text>")
_FENCED = re.compile(r"\s*(`{3,}|~{3,})[\w+-]*[ \t]*\n(?P<inner>.*?)\n?[ \t]*\1\s*\Z", re.DOTALL)


def _without_marks(text: str, announced: bool) -> _Stretch | None:
    """Off with thoughts, special tokens, and the language that Qwen3-ASR puts first ("language English<asr_text>")."""
    for pattern in (_THOUGHT, _TOKENS, _QWEN3_ASR):
        if found := pattern.match(text):
            return found.end(), len(text)
    if _THINKING.match(text):
        return len(text), len(text)
    found = _LAST_TOKENS.search(text)
    return (0, found.start()) if found else None


def _without_fence(text: str, announced: bool) -> _Stretch | None:
    found = _FENCED.match(text)
    return found.span("inner") if found and found[1] not in found["inner"] else None


# Announcements. In the tables below {recording} and {transcript} stand for the phrases that follow.


_OPENER = (
    r"(?:(?:sure(?: thing)?|certainly|of course|okay|ok|alright|all right|absolutely|yes|well|great|no problem)"
    r"\s?[,.!]*\s+)?(?:(?:I(?:['’]d| would) be (?:happy|glad) to (?:help|assist|transcribe)|I can (?:help|assist))"
    r"(?: (?:you )?with that)?[.!]\s+)?"
)
_PHRASES = {
    "{here}": r"(?:here(?:['’]s| is| are)|this is|below is|the following is)\s(?:the|a|my|your)",
    "{recording}": (
        r"(?:this|the|your|that)\s(?:(?:provided|given|attached|uploaded|spoken|recorded|short|entire|english)\s)*"
        r"(?:audio|speech|recording)(?:\s(?:file|clip|recording|segment|message|track|content|sample))?"
        r"(?:\s(?:you (?:provided|sent|shared|uploaded|gave me)|provided))?"
    ),
    "{transcript}": (
        r"(?:(?:verbatim|full|complete|exact|written|word-for-word|english|accurate)\s)*"
        r"(?:transcript(?:ion)?|transcribed (?:text|speech|words|audio))"
    ),
    "{content}": r"(?:(?:original|spoken|full|exact)\s)*(?:text|content|words)",
    "{says}": (  # before {in_language}, which it holds
        r"(?:says|said|said was|reads|states|stated|is|are|was|were|is saying|(?:is|can be) transcribed as)"
        r"(?:\sas follows|\s{in_language})?(?:,?\ssaying)?"
    ),
    "{in_language}": rf"in\s(?:{'|'.join(LANGUAGES.values())})",
}
_NAMES_THE_RECORDING = (
    r"{here}\s(?:{transcript}|{content}|translation)\s(?:of|for|from|in)\s{recording}",
    r"the\s(?:{transcript}|{content}|translation)\s(?:of|for|from|in|spoken in|said in)\s{recording}\s{says}",
    r"(?:the speech in )?{recording}\s{says}",
    r"(?:好的[，,。!！]?\s*)?(?:以下是)?(?:这段|该段|这个|该|此)?(?:音频|语音|录音)(?:片段|文件)?(?:里|中)?的?(?:原始|完整|具体)?"
    r"(?:文本|文字)?(?:内容|转录|转写|文本|文字|说)(?:内容|结果|文本|文字)?(?:是|为|如下|的是|道)?",
    r"(?:この|以下は(?:この)?)(?:音声|録音)の(?:内容|文字起こし|書き起こし)(?:は(?:以下の通り)?)?(?:です)?",
    r"hier ist (?:die|das) (?:transkription|transkript|abschrift) (?:der|des|dieser|dieses) (?:audio\w*|aufnahme)",
    r"voici la transcription (?:de (?:l['’]|cet )(?:audio|enregistrement)|du fichier audio)",
    r"aquí (?:está|tienes|tiene) la transcripción (?:del (?:audio|archivo de audio)|de la grabación)",
    r"ecco la trascrizione (?:dell['’]audio|della registrazione)",
    r"aqui está a transcrição (?:do áudio|da gravação)",
)
"""With these a colon is enough, or a full stop and a line break: who speaks in a recording does not announce what that
recording says."""
_NAMES_A_TRANSCRIPT = (
    r"{here}\s(?:{transcript}|translation)",
    r"the\s{transcript}\s{says}",
    r"hier ist (?:die|das) (?:transkription|transkript|abschrift|übersetzung)",
    r"voici la (?:transcription|traduction)",
    r"aquí (?:está|tienes|tiene) la (?:transcripción|traducción)",
    r"ecco la (?:trascrizione|traduzione)",
    r"aqui está a (?:transcrição|tradução)",
)
"""With these a line break has to follow, or quotes around all the rest: people hand out transcripts, too."""
_NAMES_A_SPEAKER = (
    r"in {recording}, (?:the|a)\s(?:\w+\s){0,2}(?:says|said|is saying|states|stated)",
    r"the\s(?:\w+\s){0,2}(?:in|of) {recording}\s(?:says|said|is saying|states|stated)",
    r"the (?:speaker|person)(?: speaking)? (?:says|said|is saying|states|stated)(?:\s{in_language})?(?=\s?:)",
    r"(?:说话人|说话者|讲话者)说(?:的是)?",
)
"""With these there have to be quotes around all the rest: stories are told like that."""


def _pattern(forms: Sequence[str]) -> re.Pattern[str]:
    every = "|".join(f"(?:{form})" for form in forms)
    for name, phrase in _PHRASES.items():
        every = every.replace(name, f"(?:{phrase})")
    return re.compile(rf"[\s。.]*{_OPENER}(?:{every})(?=\s*(?:[:：,，.。\"'“‘„«「『]|\n))", re.IGNORECASE)


_RECORDING_SAYS = _pattern(_NAMES_THE_RECORDING)
_TRANSCRIPT_IS = _pattern(_NAMES_A_TRANSCRIPT)
_SPEAKER_SAYS = _pattern(_NAMES_A_SPEAKER)
_COLON = re.compile(r"\s?[:：]\s*(?:\*\*)?\s*|\s?[.。][ \t]*\n\s*")
_BREAK = re.compile(r"\s?[:：][ \t]*(?:\*\*)?[ \t]*\n\s*")
_BEFORE_QUOTES = re.compile(r"\s?[:：,，]?\s*")
_LABEL = re.compile(
    r"\s*(?:\*\*|__)?(?:audio |verbatim |full |text |english )?"
    r"(?:transcript(?:ion)?|transcribed text|transkription|transkript|trascrizione|transcripción|transcrição"
    r"|(?:转录|转写)(?:内容|文本|结果|如下)?|语音转写|文字起こし)"
    r"(?:\*\*|__)?\s*[:：]\s*(?:\*\*|__)?\s*(?=\S)",
    re.IGNORECASE,
)
_TRANSLATION = re.compile(
    r"\s*(?:\*\*|__)?(?:english )?translation(?:\*\*|__)?\s*[:：]\s*(?:\*\*|__)?\s*(?=\S)", re.IGNORECASE
)
_HEADING = re.compile(
    r"\s*(?:#{1,6}\s+|\*\*)(?:audio |verbatim |full )?(?:transcript(?:ion)?|translation|转录|转写)"
    r"[:：]?(?:\*\*)?[:：]?\s*\n",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,})[ \t]*\n")
_LAST_RULE = re.compile(r"\n[ \t]*(?:-{3,}|\*{3,}|_{3,})\s*\Z")


def _without_announcement(text: str, announced: bool) -> _Stretch | None:
    """Off with "The original content of this audio is:" and what else is said before a transcript."""
    found = _LABEL.match(text) or _HEADING.match(text)
    if found:
        return found.end(), len(text)
    for announcement, follows in ((_RECORDING_SAYS, _COLON), (_TRANSCRIPT_IS, _BREAK), (_SPEAKER_SAYS, None)):
        said = announcement.match(text)
        if not said:
            continue
        found = follows.match(text, said.end()) if follows else None
        if found and found.end() < len(text):
            return found.end(), len(text)
        found = _BEFORE_QUOTES.match(text, said.end())
        if found and _is_quoted(text[found.end() :]):
            return found.end(), len(text)
    return None


def _is_quoted(text: str) -> bool:
    """Whether quotes enclose all of it, but for offers of more help."""
    offer = _without_offer(text, True)
    return _in_quotes(text[: offer[1]].rstrip() if offer else text.rstrip(), announced=True) is not None


def _without_translation(text: str, announced: bool) -> _Stretch | None:
    """Off with "Translation:", which in a transcript may be what an interpreter says."""
    found = _TRANSLATION.match(text)
    return (found.end(), len(text)) if found else None


def _without_rule(text: str, announced: bool) -> _Stretch | None:
    """Off with the lines "---" that part an announced transcript from the talk around it."""
    if announced and (found := _RULE.match(text)):
        return found.end(), len(text)
    if announced and (found := _LAST_RULE.search(text)):
        return 0, found.start()
    return None


# Quotes


_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "«": "»", "「": "」", "『": "』"}
_ENDS = ".?!…。？！"
_AFTER_QUOTES = re.compile(
    r"[\s,，.。;；]*(?:(?:说话|讲话|the (?:speaker|person|voice|tone|audio|man|woman)\b|spoken by\b)[^\n]*)?\Z",
    re.IGNORECASE,
)
"""What may follow the closing quote of an announced transcript: nothing, or what is said of the speaker."""


def _without_quotes(text: str, announced: bool) -> _Stretch | None:
    return _in_quotes(text, announced=announced)


def _in_quotes(text: str, *, announced: bool) -> _Stretch | None:
    """What stands between quotes around the whole text; None where they do not enclose it as one.

    A full stop may follow. Single straight quotes are also apostrophes ('Cause I was runnin'): unannounced they count
    only around a whole sentence. Announced, remarks on the speaker may follow, and an apostrophe is not mistrusted.
    """
    opening = text[:1]
    closing = _QUOTES.get(opening)
    stop = text.rfind(closing) if closing else -1
    if stop < 1 or not _AFTER_QUOTES.match(text, stop + 1):
        return None
    after, inner = text[stop + 1 :].strip(), text[1:stop]
    if after.strip(".。") and not announced:
        return None
    if opening == "'" and not announced and not (inner.rstrip().endswith(tuple(_ENDS)) or after):
        return None
    return (1, stop) if _one_quote(inner, opening, closing or "", announced) else None


def _one_quote(inner: str, opening: str, closing: str, lenient: bool) -> bool:
    """Whether the quotes within are whole ones: not "a", he said, "b", whose first and last only look like a pair.

    lenient: a quote that closes nothing is an apostrophe, unless another one opens after it.
    """
    depth, closed = 0, False
    for at, mark in enumerate(inner):
        if mark not in (opening, closing):
            continue
        before, behind = inner[at - 1 : at] or " ", inner[at + 1 : at + 2] or " "
        if opening == closing and before.isalnum() and behind.isalnum():
            continue
        opens = mark == opening if opening != closing else before.isspace() or before in "([{—–-"
        if opens and closed:
            return False
        depth += 1 if opens else -1
        if depth < 0 and not lenient:
            return False
        closed, depth = closed or depth < 0, max(depth, 0)
    return lenient or depth == 0


# Talk after the answer


_OFFER = (
    r"(?:please )?(?:let me know (?:if|when|how|whether)|feel free to|don't hesitate to|do not hesitate to"
    r"|if you (?:have|need|want|would like|'d like)|if there(?:'s| is) anything|is there anything else"
    r"|would you like me to|do you (?:want|need) me to"
    r"|(?:i )?hope (?:this|that|these)(?: \w+){0,2} (?:helps?\b|(?:is|are) (?:help|use)ful)"
    r"|如果(?:你|您)(?:还)?有|如果还有|希望(?:这|以上))"
)
_LAST_LINE = re.compile(rf"\n[ \t]*(?P<offer>{_OFFER}[^\n]*)\Z", re.IGNORECASE)
_LAST_PARAGRAPH = re.compile(rf"\n[ \t]*\n[ \t]*(?P<offer>{_OFFER}[^\n]*)\Z", re.IGNORECASE)
_BEHIND_QUOTES = re.compile(rf"[\"'”’»」][.。]?\s+(?P<offer>{_OFFER}[^\n]*)\Z", re.IGNORECASE)
_OF_THE_TRANSCRIPT = re.compile(r"\btranscri|\btranslation|转录|转写", re.IGNORECASE)


def _without_offer(text: str, announced: bool) -> _Stretch | None:
    """Off with "Let me know if you need anything else" in a last line of its own, or behind the closing quote.

    People say that as well. Of speech it is taken off only where it offers to work on the transcript, or where an
    announcement came before and quotes or an empty line part it from the rest.
    """
    found = _LAST_LINE.search(text)
    if found and _OF_THE_TRANSCRIPT.search(found["offer"]):
        return 0, found.start()
    found = _LAST_PARAGRAPH.search(text) or (_BEHIND_QUOTES.search(text) if text[:1] in _QUOTES else None)
    return (0, found.start("offer")) if found and announced else None


def _without_last_offer(text: str, announced: bool) -> _Stretch | None:
    """The same of an answer in the model's own words."""
    found = _LAST_LINE.search(text)
    return (0, found.start()) if found else None


_HERE_IT_IS = re.compile(
    rf"\s*{_OPENER}(?:here(?:['’]s| is| are)|below (?:is|are)|the following (?:is|are))\s(?:the|a|my|your|some)\s"
    r"[^\n:]{0,80}?\b(?:summary|notes|minutes|answer|analysis|description|lines?|key points|chapters|topics|json"
    r"|response|list)\b[^\n:]{0,80}[:：]\s*\n",
    re.IGNORECASE,
)


def _without_heralds(text: str, announced: bool) -> _Stretch | None:
    """Off with "Sure, here are the notes:" before an answer in the model's own words."""
    found = _HERE_IT_IS.match(text)
    return (found.end(), len(text)) if found and text[found.end() :].strip() else None


# Reports that nobody speaks


_NOBODY = re.compile(
    r"\W*(?:(?:there (?:is|was) )?no (?:speech|spoken words?|one (?:is )?speak(?:s|ing))"
    r"(?: (?:is |was )?(?:detected|found|present|heard|audible))*(?: (?:in|on) {recording})?"
    r"|{recording} (?:is silent|is empty|(?:contains|has) no (?:speech|spoken words|words|voices?)"
    r"|does(?:n['’]t| not) contain (?:any )?(?:speech|spoken words|words))"
    r"|nobody (?:speaks|is speaking)(?: in {recording})?"
    r"|(?:这段)?(?:音频|录音)(?:中|里)?没有(?:人)?(?:说话|语音)(?:内容)?"
    r")\W*".replace("{recording}", _PHRASES["{recording}"]),
    re.IGNORECASE,
)
_SILENCE_MARK = re.compile(
    r"\s*(?:[\[(<*]+\s*(?:silence|no speech|blank[_ ]audio|空白|沉默|静音)\s*[\])>*]+|\"\"|''|“”)[.\s]*", re.IGNORECASE
)


def _without_report(text: str, announced: bool) -> _Stretch | None:
    return (0, 0) if text and (_NOBODY.fullmatch(text) or _SILENCE_MARK.fullmatch(text)) else None


# Refusals, and talk instead of an answer


_SORRY = (
    r"(?:(?:(?:i['’]m|i am) (?:really |very |so )?sorry|sorry|i apologi[sz]e|my apologies|unfortunately)"
    r"[,.;]?\s*(?:but\s*)?,?\s*)?"
)
_CANNOT = (
    r"(?:can['’]?t|cannot|can not|(?:am|['’]m) (?:currently )?(?:unable to|not able to|not capable of|not equipped to)"
    r"|(?:do not|don['’]t) (?:currently )?have the (?:ability|capability|capacity) to|lack the ability to)"
    r"\s(?:directly |actually |currently |physically )?"
)
_ITS_AUDIO = (
    r"(?:(?:this|the|your|any|that|these|an|spoken)\s)?(?:(?:provided|attached|uploaded|specific)\s)?"
    r"(?:audio|sound|speech|voice|recordings?)(?:\s(?:files?|clips?|recordings?|content|data|messages?|inputs?))*"
)
_CLAUSE_ENDS = (
    r"(?=\s*(?:[.,;!:]|\Z)|\s(?:directly|as|because|since|without|at (?:this|the) (?:time|moment)|for you|you|that you"
    r"|provided|or|and|due)\b)"
)
_MODEL = r"(?:an?\s)?(?:(?:large|text-based|virtual|multimodal)\s)*(?:AI|artificial intelligence|language model)"


def _either(*forms: str) -> re.Pattern[str]:
    return re.compile("|".join(rf"\s*(?:{form})" for form in forms), re.IGNORECASE)


_DEAF = _either(
    rf"{_SORRY}(?:(?:as|i am|i['’]m) (?:just |only )?{_MODEL}\b[^.\n]{{0,60}}?\b(?:and|so)?,?\s)?I?\s?{_CANNOT}"
    rf"(?:(?:process|processing|transcrib(?:e|ing)|analy[sz](?:e|ing)|interpret(?:ing)?)(?:\sor \w+)?\s{_ITS_AUDIO}"
    rf"|listen(?:ing)? to (?:audio|sound)(?:\s(?:files?|clips?|recordings?|content))*){_CLAUSE_ENDS}",
    r"很?(?:抱歉|对不起)[，,]\s*但?我(?:目前)?(?:无法|不能)(?:直接)?(?:听|收听|处理|访问|转录|转写|识别)[^。]{0,12}(?:音频|录音|语音)",
    r"(?:es )?tut mir leid,? (?:aber )?(?:ich )?kann (?:ich )?(?:keine|diese|die) \w*(?:audio|aufnahme)\w* (?:nicht )?"
    r"(?:anhören|hören|verarbeiten|transkribieren)",
    r"(?:je suis )?désolée?,? (?:mais )?je ne peux pas (?:écouter|transcrire|traiter|analyser) [^.]{0,20}"
    r"(?:audio|enregistrement)",
    r"lo siento,? (?:pero )?no puedo (?:escuchar|transcribir|procesar|analizar) [^.]{0,20}(?:audio|grabaci)",
)
_CANNOT_REACH = _either(
    rf"{_SORRY}I\s?(?:{_CANNOT}(?:hear(?:ing)?|listen(?:ing)? to|access(?:ing)?|open(?:ing)?|play(?:ing)?)"
    rf"|(?:do not|don['’]t) have access to)\s{_ITS_AUDIO}"
)
"""People in calls say this as well: it takes an assistant's words after it."""
_ASSISTANT = re.compile(
    r"\b(?:AI|language model|text-based|assistant|provide|upload|paste|happy to help|assist you|help you)\b"
)
_ITSELF = _either(
    rf"{_SORRY}(?:as|being) {_MODEL}(?:\s(?:language model|model|assistant|chatbot|system))*,?\s"
    rf"(?:I\s?{_CANNOT}|I (?:do not|don['’]t) have)",
    rf"{_SORRY}I(?: am|['’]m) (?:just |only )?{_MODEL}(?:\s(?:text-based|language model|model|assistant|chatbot))*"
    rf"(?:,| and| so|\.)[^\n]{{0,20}}?\s(?:I\s?)?{_CANNOT}",
    r"(?:hello[,!.]\s*|hi[,!.]\s*)?I(?: am|['’]m) (?:Qwen|ChatGPT|Claude|Gemini|Gemma|Llama|Ultravox|Voxtral)\b"
    r"[^.\n]{0,60}\b(?:model|assistant)\b",
    r"(?:抱歉[，,]\s*)?作为(?:一个|一款)?(?:AI|人工智能|大型?语言模型|语言模型)",
    r"als (?:ein )?(?:KI|künstliche Intelligenz)[\w-]*,? kann ich",
    r"en tant que (?:modèle de langage|IA\b)",
    r"como (?:un )?(?:modelo de lenguaje|IA\b)",
)
_ASKING = _either(
    rf"{_SORRY}(?:please|could you(?: please)?|can you(?: please)?|kindly) (?:provide|upload|attach)(?: me with)? "
    r"(?:the|an|your) (?:audio|recording|speech)(?: (?:file|clip|recording))?,? "
    r"(?:you(?:['’]d| would) like|you want|that you|so (?:that )?I|and I|for me to|to be transcribed)",
    rf"{_SORRY}(?:it (?:seems|appears|looks like)(?: that)? )?"
    r"(?:there (?:is|was)|i (?:see|received)|i (?:don['’]t|do not|didn['’]t) (?:see|receive)) (?:no|any|an) audio"
    r"(?: (?:files?|clips?|recordings?|attachments?|input))? (?:attached|provided|included|in your|with your|or link)",
)
_DECLINING = _either(
    rf"{_SORRY}I\s?{_CANNOT}(?:(?:help|assist|assisting) with (?:that|this)(?: request)?"
    r"|(?:fulfill|comply with|complete) (?:that|this|your) request)\s*[.!]",
)
_DESCRIBING = _either(
    r"(?:in (?:this|the) audio(?: (?:clip|file|recording|segment))?,? "
    r"(?:we (?:can )?hear |you can hear |there (?:is|are) )?"
    r"|(?:this|the) (?:audio|recording)(?: (?:clip|file|recording|segment))? "
    r"(?:contains|features|consists of|captures|begins with|starts with|appears to be|seems to be) )"
    r"(?:an?|the|several|two|three|some) (?:[\w-]+ ){0,3}?"
    r"(?:man|woman|person|people|speakers?|male|female|narrator|individual)\b",
)


def _refused(text: str, removed: str, spoken: bool) -> str | None:
    """Why a whole answer is none; long ones are not doubted, as people speak of recordings on recordings."""
    if not text and _THINKING.match(removed) and not _THOUGHT.match(removed):
        return "thought aloud and never came to an answer"
    if len(text) > LONGEST_REFUSAL:
        return None
    if _DEAF.match(text) or (_CANNOT_REACH.match(text) and _ASSISTANT.search(text)):
        return "said that it cannot hear recordings"
    if _ITSELF.match(text):
        return "spoke of itself as a language model"
    if _ASKING.match(text):
        return "asked for the recording"
    if _DECLINING.match(text):
        return "declined to answer"
    if spoken and _DESCRIBING.match(text):
        return "described the recording instead of writing down its words"
    return None


_ANNOUNCING: tuple[_Step, ...] = (_without_announcement, _without_translation)
_WRITTEN_STEPS: tuple[_Step, ...] = (_without_marks, _without_heralds, _without_last_offer, _without_fence)
_SPOKEN_STEPS: tuple[_Step, ...] = (
    _without_marks,
    _without_fence,
    _without_announcement,
    _without_rule,
    _without_offer,
    _without_quotes,
    _without_report,
)
_STEPS: dict[str, tuple[_Step, ...]] = {
    "transcribe": _SPOKEN_STEPS,
    "translate": (_without_translation, *_SPOKEN_STEPS),
}
