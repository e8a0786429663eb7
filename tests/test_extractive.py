"""A summary without a language model: what it quotes was said, what was agreed is in it, and nothing is invented."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest
import yaml

from audiocli.cues import INFERRED
from audiocli.extractive import ELSEWHERE, METHOD, MISTRUSTED, UNTRUSTED, extract
from audiocli.grounding import WORD, ground, heard
from audiocli.records import Point, Segment, Summary

SAMPLES = Path(__file__).parents[1] / "samples"
FUNCTION_WORDS = set(re.findall(r"\w+", "the a an of to and is that it with for in by on as we whether too once"))

SECOND_MEETING = """
Hello all. Shall we look at the minutes from last time? They were approved.
Today we have three things on the agenda: the new website, the office move, and hiring.
The website still runs on the old server, and every Monday morning it breaks down for an hour.
Nina, can you tell us what the hosting company said?
They said that the server is fifteen years old. A new one costs eight hundred dollars a month.
That is a lot of money, but an hour of downtime costs us more.
Then it is settled in principle: we have agreed to rent the new server for one year.
Omar, would you please sign the hosting contract by the end of the month?
Sure, I'll sign it. I'll also ask for a discount.
We haven't decided anything about the design, have we?
No, and it is still unclear who writes the texts for the start page.
Next topic, the office move. The lease ends on June 30th.
I visited two buildings on Tuesday. The one near the station is brighter, the other one is cheaper.
The board has approved the building near the station.
Great. I'm going to book the movers by next Friday.
Thank you, Priya. Do we get the deposit back?
I have no idea. The landlord never answers his phone.
We need to find out who pays for the cleaning.
Let's turn to the last item, hiring. We got ninety applications for two positions.
Nina will call the three best candidates tomorrow morning, and Omar prepares the contracts by Thursday.
Let's postpone the second position until September.
Nobody objected, so we are done. See you next week.
"""
GERMAN_MEETING = """
Guten Morgen zusammen. Wir haben heute drei Punkte: den Umzug, die Rechnungen und das Sommerfest.
Erster Punkt, der Umzug. Das neue Büro ist heller, aber die Küche ist kleiner als die alte.
Jonas, kannst du bitte bis Mittwoch die Umzugsfirma anrufen?
Ja, mache ich.
Wir haben beschlossen, dass wir im August umziehen.
Der zweite Punkt sind die Rechnungen. Drei Kunden haben seit Mai nicht bezahlt.
Ich schreibe den drei Kunden bis Freitag eine Mahnung.
Danke, Sabine.
Jonas kümmert sich bis nächsten Montag um die neue Software.
Einigen wir uns darauf, dass Rechnungen künftig nach vierzehn Tagen gemahnt werden.
Wir haben noch nicht entschieden, ob wir die Gebühren erhöhen.
Letzter Punkt, das Sommerfest. Im letzten Jahr hat es den ganzen Abend geregnet.
Haben wir einen Raum, falls es wieder regnet?
Das weiß ich leider noch nicht.
Wir müssen klären, ob die Halle im Juli frei ist.
Dann sind wir fertig.
"""
LECTURE = """
Welcome back. Today I will talk about rivers, and next week we will discuss the oceans.
Let us begin with the source. As you will see, every river starts as something small.
I will show you three pictures, and I will explain each of them in a minute.
Please look at the first one. Could you all see it from the back?
We have agreed in the last lecture that water always takes the easiest way.
In 1869 the explorer decided to follow the river to its mouth. By Friday his men were hungry.
Now, why does a river bend? Think about it for a moment.
The water on the outer side is faster, and it takes more soil with it. On the inner side it is slow.
I'll call this the outer bank, and I'll use the letter b for it.
Please note that the bend gets larger every year, until the river cuts through.
Nobody knows when the next cut will happen. The question is whether we can predict it.
You must remember that this takes decades. It must be true that soil matters.
The river will flood the valley again, and the people will have to build new houses.
Let's say that the speed is two meters per second. Then we will find that the bank moves.
Thank you for your attention.
"""
INTERVIEW = """
So tell me, how did you come to build organs?
My grandfather built them. I grew up between pipes, and at six I could tell tin from lead.
When did you decide to make it your profession?
I never really decided. When I was nineteen, I was going to study law.
Then my grandfather fell ill, and somebody had to finish the organ in Lund.
What was that like?
Terrible. I didn't know whether I would ever get it done. Who would have given such a thing to a boy?
But you did it.
We did it. The workshop agreed to work without pay until Easter.
What is the hardest part of the work?
The voicing. I'll tell you a secret: every pipe has to be voiced by ear, and on a cold day you have to stop.
People say the craft is dying. Is it?
I don't know. Maybe. We will see. When I am gone, my daughter will have to decide.
Will you take on apprentices again?
Next year we will take two. I have promised that to the school.
And who will play the new organ first?
Good question. That is still open, the bishop wants to, and so does the mayor.
What would you do if you had to begin again?
I would do all of it again. What else should I do?
"""
STAND_UP = """
Morning everyone, let's make it quick. Kim, do you want to start?
Yesterday I finished the import of the old orders.
Today I'm working on the export, and I should have it ready for review by tomorrow.
No blockers.
Okay, Raj?
I was stuck on the login bug all day. It turns out that the token expires too early. I'll push a fix this afternoon.
Can somebody review it today?
I can take that.
Thanks, Kim.
I also still don't know if we need to support the old browsers.
Let's ask the client. Olga, could you check with the client by Wednesday?
Will do.
Great. Olga, what about you?
I'm still waiting for the designs. Without them I can't go on with the settings page. So I'm blocked.
I'll ping the designers right after this.
Thanks. Then I'll take the search ticket in the meantime.
Alright, are we still releasing on Thursday?
Only if the login fix is in. Otherwise we push it to Monday.
Let's do that. If the fix isn't merged by Wednesday evening, the release moves to Monday.
Okay, so we're agreed. Anything else? No? Then back to work.
"""
CUSTOMER_CALL = """
Yeah, it's about my bill. I was charged twice in September.
Can I have your customer number?
It's four four seven one nine.
One moment. I see two payments of thirty-nine euros, on the third and on the fourth.
Exactly. And I only have one contract. So what happened there?
It looks like the first payment was reported as failed, so the system tried again.
Is it possible that you changed your bank account in August?
Yes, I did. I changed my bank in August.
That explains it. We'll refund the second payment. It will be on your account within five working days.
Five days. And will it happen again next month?
No. I have removed the old account. I will also send you a confirmation by email today.
Can you also tell me how long my contract runs?
Until the end of March. You can cancel until the end of January.
Could you call me before it renews itself?
I can't promise that, but I'll put a note in the system.
And what do I do if the money isn't there next week?
Then please call us again and give them the case number. It is A 52 10.
And who pays the fee that my bank took for the return?
I'm not sure about that. I have to ask the accounting department. Somebody will get back to you by Friday.
Fine. I'll wait for that then. And please send the confirmation to my new address.
I will. Anything else?
No, that was it.
"""
GERMAN_CALL = """
Ja, hallo, es geht um meine Heizung. Die läuft seit gestern nicht mehr.
Haben Sie schon auf den Druck geschaut?
Nein, wo sehe ich den denn?
Vorne ist ein rundes Gerät. Wie viel steht da?
Null Komma acht.
Das ist zu wenig. Füllen Sie bitte bis eins Komma fünf nach. Ich schicke Ihnen heute Nachmittag einen Techniker.
Wer bezahlt das denn?
Das weiß ich nicht. Das muss ich mit dem Vermieter klären. Ich rufe Sie morgen zurück.
Gut. Und kann ich heute noch duschen?
Ja, das Wasser wird trotzdem warm.
Wir werden die Pumpe nächste Woche austauschen.
"""
NOVEL = """
"I will never marry," said Elinor, and she put the letter into the fire.
It was settled between them that nothing should be said before Sunday.
We had agreed to meet at the old mill. What was I to do? Who could tell me?
"Will you come tomorrow?" he asked. "I do not know," she said.
He would leave on Monday, and nobody knew whether he would come back.
"You must go to London at once," her father told her. "I shall write to your aunt tonight."
I will go to him tomorrow, she thought, and I will tell him everything.
Please do not go, he said. But she had decided, and the next morning she was gone.
They had decided to sell the house by the end of the year.
How could she know that the house was already sold? It was still unclear to her what he had meant.
"Let us go with him," cried the boy. "Let's stick to the road."
We will bury him on Thursday, the priest said.
"""
SPEECH = """
My fellow citizens, tonight we face a question: who are we, and what do we want to be?
In the coming year we will build a hundred thousand homes. We will lower taxes by next summer.
I will not rest until every child can read. I will sign this bill tomorrow.
Congress must act. They must pass this law before Christmas. The government has to do more.
Have we done enough? We don't know. Can we do better? Yes, we can.
We have decided to go to the moon in this decade. We chose this path together.
What would our fathers have said? Who among us would turn away?
Let us agree that no one should go hungry. Let us decide to be brave.
The question is whether we have the courage. The outcome is still open.
Please stand with me. I need you to call your senator tomorrow. God bless you.
"""


def spoken(text: str, speaker: str | None = None) -> list[Segment]:
    """A line is a segment; 0.4 seconds a word, and as long between two."""
    segments, start_s = [], 0.0
    for line in text.strip().splitlines():
        end_s = start_s + 0.4 * len(line.split())
        segments.append(Segment(round(start_s, 3), round(end_s, 3), line, speaker=speaker))
        start_s = end_s + 0.4
    return segments


def sample(name: str, *, speakers: bool = True) -> list[Segment]:
    """What was said in a sample, as its reference tells, with or without who said it."""
    entries = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return [
        Segment(entry["start_s"], entry["end_s"], entry["text"], speaker=entry["speaker"] if speakers else None)
        for entry in entries
    ]


def every(summary: Summary) -> list[Point]:
    return list(
        chain(summary.overview, summary.key_points, summary.decisions, summary.action_items, summary.open_questions)
    )


def words(text: str) -> set[str]:
    """What a text is about: its words but the commonest, without the ending of a plural or a third person."""
    found = {match.group().casefold() for match in WORD.finditer(text)} - FUNCTION_WORDS
    return {word.removesuffix("s") for word in found}


def naming(points: Iterable[Point], what: str, share: float = 0.75) -> list[Point]:
    """The points that have nearly all words of what is to be named."""
    sought = words(what)
    return [point for point in points if len(sought & words(point.text)) >= share * len(sought)]


@pytest.fixture(scope="module", params=[True, False], ids=["with speakers", "without"])
def meeting(request: pytest.FixtureRequest) -> tuple[Summary, bool]:
    return extract(sample("meeting", speakers=request.param), "en"), request.param


@pytest.fixture(scope="module")
def expected() -> dict[str, list[dict[str, str]]]:
    text = (SAMPLES / "texts" / "meeting.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, list[dict[str, str]]]] = yaml.safe_load(text)
    return loaded["expected"]


def test_the_meetings_decisions_are_named_and_no_others(
    meeting: tuple[Summary, bool], expected: dict[str, list[dict[str, str]]]
) -> None:
    summary, _ = meeting
    for decision in expected["decisions"]:
        assert naming(summary.decisions, decision["quote"], 1.0), decision
    assert len(summary.decisions) == len(expected["decisions"])


def test_the_meetings_tasks_are_named_with_who_and_when_and_no_others(
    meeting: tuple[Summary, bool], expected: dict[str, list[dict[str, str]]]
) -> None:
    summary, labelled = meeting
    for task in expected["action_items"]:
        (point,) = [point for point in summary.action_items if point.when == task["when"]]
        assert naming([point], task["what"], 0.5), task
        # Nobody says Emma's name: without labels it cannot be known who "I" is.
        assert point.who == (task["who"] if labelled or task["who"] != "Emma" else None)
        assert point.doubt is None
    assert len(summary.action_items) == len(expected["action_items"])


def test_the_meetings_open_questions_are_named_and_no_others(
    meeting: tuple[Summary, bool], expected: dict[str, list[str]]
) -> None:
    summary, _ = meeting
    assert naming(summary.open_questions, expected["open_questions"][0], 1.0)
    assert naming(summary.open_questions, "go to the summer fair", 1.0)
    assert len(summary.open_questions) == 2


def test_the_meetings_topics_are_all_in_overview_or_key_points(
    meeting: tuple[Summary, bool], expected: dict[str, list[str]]
) -> None:
    summary, _ = meeting
    said = words(heard(sample("meeting")).text)
    for topic in expected["topics"]:
        quotable = " ".join(words(topic) & said)
        assert naming((*summary.overview, *summary.key_points), quotable, 0.5), topic


@pytest.mark.parametrize("name", ["meeting", "call", "lecture", "pauses"])
@pytest.mark.parametrize("speakers", [True, False])
def test_every_point_is_a_quote_that_can_be_found_where_it_says(name: str, speakers: bool) -> None:
    segments = sample(name, speakers=speakers)
    summary = extract(segments, "en")
    assert summary.method == METHOD
    assert all(point.text == point.quote and point.text in heard(segments).text for point in every(summary))
    assert all(point.found for point in every(summary))
    assert ground(summary, segments) == summary
    for points in (summary.overview, summary.key_points, summary.decisions, summary.action_items):
        starts = [point.start_s or 0.0 for point in points]
        assert starts == sorted(starts)
    assert not {point.text for point in summary.overview} & {point.text for point in summary.key_points}


def test_another_meeting_in_other_words() -> None:
    summary = extract(spoken(SECOND_MEETING), "en")
    assert [point.text for point in summary.decisions] == [
        "Then it is settled in principle: we have agreed to rent the new server for one year.",
        "The board has approved the building near the station.",
        "Let's postpone the second position until September.",
    ]
    assert [(point.who, point.when) for point in summary.action_items] == [
        ("Omar", "by the end of the month"),
        ("Priya", "by next Friday"),
        ("Nina", "tomorrow morning"),
        ("Omar", "by Thursday"),
    ]
    assert summary.action_items[1].doubt == INFERRED
    assert summary.action_items[3].text == "Omar prepares the contracts by Thursday."
    assert [point.text for point in summary.open_questions] == [
        "No, and it is still unclear who writes the texts for the start page.",
        "Do we get the deposit back?",
        "We need to find out who pays for the cleaning.",
    ]
    for topic in ("website", "office move", "hiring"):
        assert naming((*summary.overview, *summary.key_points), topic, 1.0), topic


@pytest.mark.parametrize("language", ["de", None])
def test_a_german_meeting(language: str | None) -> None:
    summary = extract(spoken(GERMAN_MEETING), language)
    assert summary.method == METHOD
    assert [point.text for point in summary.decisions] == [
        "Wir haben beschlossen, dass wir im August umziehen.",
        "Einigen wir uns darauf, dass Rechnungen künftig nach vierzehn Tagen gemahnt werden.",
    ]
    assert [(point.who, point.when) for point in summary.action_items] == [
        ("Jonas", "bis Mittwoch"),
        ("Sabine", "bis Freitag"),
        ("Jonas", "bis nächsten Montag"),
    ]
    assert [point.text for point in summary.open_questions] == [
        "Wir haben noch nicht entschieden, ob wir die Gebühren erhöhen.",
        "Haben wir einen Raum, falls es wieder regnet?",
        "Wir müssen klären, ob die Halle im Juli frei ist.",
    ]


@pytest.mark.parametrize(
    "segments", [sample("lecture"), spoken(LECTURE), spoken(LECTURE, "Professor"), sample("pauses")]
)
def test_where_nothing_is_agreed_nothing_is_invented(segments: list[Segment]) -> None:
    summary = extract(segments, "en")
    assert summary.overview and summary.key_points
    assert (summary.decisions, summary.action_items, summary.open_questions) == ((), (), ())


@pytest.mark.parametrize("speakers", [True, False])
def test_what_was_agreed_on_in_the_call(speakers: bool) -> None:
    summary = extract(sample("call", speakers=speakers), "en")
    visit, tap = summary.action_items
    assert naming([visit], "our colleague will visit you tomorrow afternoon", 1.0)
    assert (visit.who, visit.when) == ("our colleague", "tomorrow afternoon")
    assert (tap.text, tap.when) == ("Please keep the tap closed until then.", "until then")
    assert (summary.decisions, summary.open_questions) == ((), ())


@pytest.mark.parametrize(
    "text",
    [
        "We have not decided on the color of the door.",
        "Should we decide on the color of the door?",
        "If we agreed on the color, Tom could paint the door.",
        "Last summer we decided to paint the door of the house.",
        "Before we decide on the door, Tom has to measure it.",
    ],
)
def test_what_was_not_decided_is_no_decision(text: str) -> None:
    assert extract(spoken(text), "en").decisions == ()


def texts(points: Iterable[Point]) -> list[str]:
    return [point.text for point in points]


def test_an_interview_leaves_open_what_was_left_open_and_its_plans_and_memories_are_no_tasks() -> None:
    summary = extract(spoken(INTERVIEW), "en")
    assert texts(summary.open_questions) == ["And who will play the new organ first?"]
    assert (summary.decisions, summary.action_items) == ((), ())


def test_a_stand_up_without_an_agenda() -> None:
    summary = extract(spoken(STAND_UP), "en")
    assert texts(summary.decisions) == [
        "If the fix isn't merged by Wednesday evening, the release moves to Monday. Okay, so we're agreed."
    ]
    assert [(point.text, point.who, point.when) for point in summary.action_items] == [
        ("I'll push a fix this afternoon.", None, "this afternoon"),
        ("Olga, could you check with the client by Wednesday?", "Olga", "by Wednesday"),
        ("I'll ping the designers right after this.", None, "right after this"),
        ("Then I'll take the search ticket in the meantime.", None, None),
    ]
    assert texts(summary.open_questions) == ["I also still don't know if we need to support the old browsers."]


def test_a_customers_call_without_greetings() -> None:
    summary = extract(spoken(CUSTOMER_CALL), "en")
    assert [(point.text, point.when) for point in summary.action_items] == [
        ("I will also send you a confirmation by email today.", "today"),
        ("Somebody will get back to you by Friday.", "by Friday"),
    ]
    assert texts(summary.open_questions) == ["And who pays the fee that my bank took for the return?"]
    assert summary.decisions == ()
    assert naming((*summary.overview, *summary.key_points), "charged twice", 1.0)


def test_a_german_customers_call() -> None:
    summary = extract(spoken(GERMAN_CALL), "de")
    assert [point.when for point in summary.action_items] == ["heute Nachmittag", "morgen", "nächste Woche"]
    assert texts(summary.open_questions) == ["Wer bezahlt das denn?"]
    assert summary.decisions == ()


@pytest.mark.parametrize("text", [NOVEL, SPEECH], ids=["story", "speech"])
def test_stories_and_speeches_are_quoted_and_nothing_in_them_is_agreed_or_left_open(text: str) -> None:
    summary = extract(spoken(text), "en")
    assert summary.overview and summary.key_points
    assert (summary.decisions, summary.action_items, summary.open_questions) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('"I will call you on Friday," said the boy.', "en"),
        ("We agreed to leave on Monday, he said.", "en"),
        ("Ann called the supplier on Monday. Thanks, Ann.", "en"),
        ("Next year we will plant an orchard.", "en"),
        ("We had agreed to sell it on Monday.", "en"),
        ("Ich rufe dich am Freitag an, sagte der Junge.", "de"),
        ("Wir hatten vereinbart, am Montag zu fahren.", "de"),
        ("Danke, Anna. Anna machte am Montag die Tür zu.", "de"),
    ],
)
def test_what_is_told_or_planned_is_nobodys_task_and_no_decision(text: str, language: str) -> None:
    summary = extract(spoken(text), language)
    assert (summary.decisions, summary.action_items) == ((), ())


def test_agreed_alone_is_quoted_with_what_it_agrees_to() -> None:
    segments = spoken("Shall we move the release to June?\nFine, that's agreed.")
    (point,) = extract(segments, "en").decisions
    assert point.text == "Shall we move the release to June? Fine, that's agreed."
    assert (point.start_s, point.end_s) == (segments[0].start_s, segments[1].end_s)
    doubted = Segment(3.0, 3.2, "No no no.", unreliable="a loop")
    assert texts(extract([segments[0], doubted, segments[1]], "en").decisions) == ["Fine, that's agreed."]


def test_an_open_question_is_named_even_when_it_is_only_pointed_to() -> None:
    summary = extract(spoken("Can the old boxes be updated?\nMaybe.\nThat is an open question."), "en")
    assert [point.text for point in summary.open_questions] == ["Can the old boxes be updated?"]


@pytest.mark.parametrize(
    "when",
    [
        "no later than Friday",
        "by next Monday",
        "tomorrow afternoon",
        "on June 3rd",
        "by the end of the quarter",
        "in two weeks",
    ],
)
def test_when_is_given_as_it_was_said(when: str) -> None:
    (point,) = extract(spoken(f"I will send the report {when}.", "Ann"), "en").action_items
    assert point.when == when


def test_a_promise_for_all_is_nobodys_own() -> None:
    (point,) = extract(spoken("We will send the report by Friday.", "Ann"), "en").action_items
    assert (point.who, point.when) == ("We", "by Friday")


def test_the_same_thing_on_two_days_is_two_tasks() -> None:
    text = "I will test the pump on Monday morning.\nI will test the pump on Friday morning."
    assert len(extract(spoken(text, "Ann"), "en").action_items) == 2


def test_the_one_who_speaks_is_who_promises() -> None:
    (point,) = extract(spoken("I will send the report by Friday.", "Ann"), "en").action_items
    assert (point.who, point.when, point.doubt) == ("Ann", "by Friday", None)


def test_without_speech_there_is_nothing_to_say() -> None:
    assert extract([], "en") == extract([Segment(0, 1, " ...")], None) == Summary(METHOD)


def test_one_sentence_is_its_own_overview() -> None:
    summary = extract([Segment(3.0, 5.0, "The train is late again.")], "en")
    assert [(point.text, point.start_s, point.end_s) for point in every(summary)] == [
        ("The train is late again.", 3.0, 5.0)
    ]


@pytest.mark.parametrize("text", ["4 8 15 16 23 42", "the of and to", "7", "yes no yes no"])
def test_a_transcript_without_content_is_quoted_all_the_same(text: str) -> None:
    assert extract([Segment(0.0, 9.0, text)], "en").overview[0].text == text


def test_speech_without_full_stops_is_summarized_too() -> None:
    segments = sample("meeting", speakers=False)
    flat = [Segment(one.start_s, one.end_s, " ".join(WORD.findall(one.text)).lower()) for one in segments]
    summary = extract(flat, "en")
    assert len(summary.key_points) >= 5
    assert all(len(point.text.split()) <= 90 for point in every(summary))


def test_other_languages_get_key_points_and_the_method_says_so() -> None:
    line = "Le conseil a décidé de fermer la piscine, et Paul va écrire aux voisins avant jeudi."
    summary = extract(spoken("\n".join([line, "La piscine perd de l'eau.", "Le toit est vieux."])), "fr")
    assert summary.method == METHOD + ELSEWHERE
    assert summary.overview and summary.decisions == summary.action_items == ()


def test_what_cannot_be_trusted_is_never_quoted_and_where_that_is_most_the_summary_says_so() -> None:
    loop = Segment(0.0, 5.0, "The budget is the budget is the budget.", unreliable="a loop")
    short, long = (Segment(5.0, end_s, "The budget was cut by half.") for end_s in (9.0, 11.0))
    found = [extract(segments, "en") for segments in ([loop, short], [loop, long], [loop])]
    assert [[point.text for point in every(summary)] for summary in found] == [[long.text], [long.text], []]
    assert [summary.unreliable for summary in found] == [MISTRUSTED, None, UNTRUSTED]


def hours(count: int) -> list[Segment]:
    """The samples again and again, with a word of its own in each sentence, so that none repeats."""
    source = [one for name in ("meeting", "call", "lecture") for one in sample(name, speakers=False)]
    segments: list[Segment] = []
    start_s = 0.0
    while start_s < 3600 * count:
        for one in source:
            end_s = start_s + one.end_s - one.start_s
            segments.append(Segment(start_s, end_s, f"{one.text[:-1]} {len(segments) % 700}x."))
            start_s = end_s + 0.5
    return segments


def test_every_part_of_an_hour_is_represented() -> None:
    summary = extract(hours(1), "en")
    starts = [0.0, *(point.start_s or 0.0 for point in summary.key_points), 3600.0]
    assert 15 <= len(summary.key_points) <= 40
    assert max(after - before for before, after in zip(starts, starts[1:], strict=False)) < 600


def test_ten_hours_take_seconds_and_little_memory() -> None:
    """Processor time, so that other work on the machine does not count."""
    segments = hours(10)
    extract(segments[:50], "en")
    started = time.process_time()
    summary = extract(segments, "en")
    assert time.process_time() - started < 30
    assert 50 <= len(summary.key_points) <= 130


def test_memory_grows_with_the_transcript_not_with_its_square() -> None:
    segments = hours(2)
    extract(segments[:50], "en")
    peaks = []
    for part in (segments[: len(segments) // 4], segments):
        tracemalloc.start()
        extract(part, "en")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0]
