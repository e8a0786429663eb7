"""Ground: what the languages are called that Whisper's checkpoints have tokens for.

In goes what a user types, out comes the code the models are told. The list is that of the multilingual checkpoints:
ISO 639-1 codes where there are such, else 639-3.
"""

from __future__ import annotations

from difflib import get_close_matches

from audiocli.errors import UsageError

_CODES = dict(
    pair.split("=")
    for pair in """
    af=afrikaans am=amharic ar=arabic as=assamese az=azerbaijani ba=bashkir be=belarusian bg=bulgarian bn=bengali
    bo=tibetan br=breton bs=bosnian ca=catalan cs=czech cy=welsh da=danish de=german el=greek en=english es=spanish
    et=estonian eu=basque fa=persian fi=finnish fo=faroese fr=french gl=galician gu=gujarati ha=hausa haw=hawaiian
    he=hebrew hi=hindi hr=croatian ht=haitian_creole hu=hungarian hy=armenian id=indonesian is=icelandic it=italian
    ja=japanese jw=javanese ka=georgian kk=kazakh km=khmer kn=kannada ko=korean la=latin lb=luxembourgish ln=lingala
    lo=lao lt=lithuanian lv=latvian mg=malagasy mi=maori mk=macedonian ml=malayalam mn=mongolian mr=marathi ms=malay
    mt=maltese my=myanmar ne=nepali nl=dutch nn=nynorsk no=norwegian oc=occitan pa=punjabi pl=polish ps=pashto
    pt=portuguese ro=romanian ru=russian sa=sanskrit sd=sindhi si=sinhala sk=slovak sl=slovenian sn=shona so=somali
    sq=albanian sr=serbian su=sundanese sv=swedish sw=swahili ta=tamil te=telugu tg=tajik th=thai tk=turkmen
    tl=tagalog tr=turkish tt=tatar uk=ukrainian ur=urdu uz=uzbek vi=vietnamese yi=yiddish yo=yoruba yue=cantonese
    zh=chinese
    """.split()  # noqa: SIM905
)
_OTHER_NAMES = dict(
    pair.split("=")
    for pair in """
    burmese=my castilian=es flemish=nl haitian=ht letzeburgesch=lb mandarin=zh moldavian=ro moldovan=ro panjabi=pa
    pushto=ps sinhalese=si valencian=ca
    """.split()  # noqa: SIM905
)

LANGUAGES: dict[str, str] = {code: name.replace("_", " ") for code, name in _CODES.items()}
"""Code → English name."""
_BY_NAME = {name.replace("_", " "): code for code, name in _CODES.items()} | {
    name.replace("_", " "): code for name, code in _OTHER_NAMES.items()
}


def code(language: str) -> str:
    """The code of a language given by code or by English name, in any case.

    Raises UsageError that names the nearest one.
    """
    asked = language.strip().casefold()
    if asked in LANGUAGES:
        return asked
    if asked in _BY_NAME:
        return _BY_NAME[asked]
    near = get_close_matches(asked, [*_BY_NAME, *LANGUAGES], 1)
    hint = f"; did you mean {near[0]!r}?" if near else "; give a code such as 'en' or an English name"
    raise UsageError(f"no language {language!r}{hint}")
