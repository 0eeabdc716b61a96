import re
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.music.words import Line, lines_of, section_at
from app.suno.song_time import AlignedLyrics


def lyrics(*words, lines=()):
    """Suno's reply with these words: (text, start, end) or (text, start, end, success)."""
    told = [
        {"word": text, "start_s": start, "end_s": end, "success": (*rest, True)[0], "p_align": 0.9}
        for text, start, end, *rest in words
    ]
    return AlignedLyrics.from_wire({"aligned_words": told, "aligned_lyrics": list(lines)})


def texts(lines):
    return [line.text for line in lines]


def test_words_become_lines_at_their_line_breaks():
    lines = lines_of(lyrics(("Over ", 1, 1.4), ("water\n", 1.5, 2), ("and ", 3, 3.2), ("stone\n\n", 3.3, 4)))

    assert texts(lines) == ["Over water", "and stone"]
    assert [(line.start, line.end) for line in lines] == [(1, 2), (3, 4)]


def test_a_section_tag_names_the_lines_after_it_and_is_no_word():
    lines = lines_of(lyrics(("[Verse 1]\nOver ", 1, 1.4), ("water\n", 1.5, 2), ("[Chorus]\nRise\n", 3, 4)))

    assert [(line.section, line.text) for line in lines] == [("Verse 1", "Over water"), ("Chorus", "Rise")]


def test_a_section_tag_may_reach_over_two_words():
    lines = lines_of(lyrics(("[Verse ", 1, 1.4), ("1]\n", 1.4, 1.5), ("Rise\n", 3, 4)))

    assert [(line.section, line.text) for line in lines] == [("Verse 1", "Rise")]


def test_a_line_break_inside_a_word_shares_its_time():
    first, second = lines_of(
        lyrics(
            ("one\ntwo", 2.0, 9.0),
        )
    )

    assert (first.text, first.start, first.end) == ("one", 2.0, 5.5)
    assert (second.text, second.start, second.end) == ("two", 5.5, 9.0)


def test_a_word_that_suno_could_not_place_gets_the_time_between_its_neighbours():
    (line,) = lines_of(lyrics(("a ", 1, 2), ("b ", 0, 0, False), ("c ", 77, 78, False), ("d", 4, 5)))

    assert [(word.start, word.end, word.placed) for word in line.words] == [
        (1, 2, True),
        (2, 3, False),
        (3, 4, False),
        (4, 5, True),
    ]


def test_words_without_a_time_at_both_ends_lie_beside_their_neighbour():
    (line,) = lines_of(lyrics(("a ", None, None, False), ("b ", 4, 5), ("c", None, None, False)))

    assert [word.start for word in line.words] == [3.7, 4, 5]
    assert line.end == 5.3


def test_no_word_with_a_time_means_no_lines():
    assert lines_of(lyrics(("a ", 0, 0, False), ("b", 0, 0, False))) == ()


def test_an_instrumental_has_no_lines():
    assert lines_of(lyrics()) == ()


def test_a_shuffled_list_is_put_in_order_of_time():
    lines = lines_of(lyrics(("stone\n", 3.3, 4), ("Over ", 1, 1.4), ("and ", 3, 3.2), ("water\n", 1.5, 2)))

    assert texts(lines) == ["Over water", "and stone"]


def test_one_early_voice_in_the_background_does_not_tear_its_line_apart():
    words = [(f"w{i} ", float(i), i + 0.5) for i in range(20)]
    words[12] = ("(ooh) ", 10.5, 11.0)

    (line,) = lines_of(lyrics(*words))

    assert [word.text.strip() for word in line.words][11:14] == ["w11", "(ooh)", "w13"]


def test_words_sent_without_spaces_are_joined_with_spaces():
    assert texts(lines_of(lyrics(("Over", 1, 2), ("water", 2, 3)))) == ["Over water"]


def test_japanese_is_not_joined_with_spaces():
    assert texts(lines_of(lyrics(("海", 1, 2), ("の", 2, 3), ("歌", 3, 4)))) == ["海の歌"]


def test_hebrew_keeps_its_order():
    assert texts(lines_of(lyrics(("שלום ", 1, 2), ("עולם\n", 2, 3)))) == ["שלום עולם"]


def test_suno_s_own_lines_are_used_where_the_words_have_no_line_breaks():
    lines = [
        {"text": "Over water", "start_s": 1, "end_s": 2, "section": "Verse", "words": [
            {"text": "Over ", "start_s": 1, "end_s": 1.4}, {"text": "water", "start_s": 1.5, "end_s": 2}]},
        {"text": "Rise", "start_s": 3, "end_s": 4, "section": "Chorus", "words": []},
    ]  # fmt: skip

    found = lines_of(lyrics(("Over ", 1, 1.4), ("water ", 1.5, 2), ("Rise", 3, 4, False), lines=lines))

    assert [(line.section, line.text, line.start) for line in found] == [
        ("Verse", "Over water", 1),
        ("Chorus", "Rise", 2),
    ]
    assert not found[1].words[0].placed


def test_a_change_is_named_by_the_section_whose_words_begin_there():
    lines = lines_of(lyrics(("[Verse]\na\n", 1, 2), ("[Chorus]\nb\n", 30.2, 31), ("c\n", 32, 33)))

    assert section_at(lines, 29.9, 2.0) == "Chorus"
    assert section_at(lines, 20.0, 2.0) is None
    assert section_at(lines, 2.5, 2.0) == "Verse"


numbers = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.floats(), st.integers(-5, 10**400))
wire_words = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "word": st.one_of(
                    st.none(), st.text(max_size=12), st.sampled_from(["[Verse]\n", "[", "]\n", " ", "\n"])
                )
            },
            optional={"start_s": numbers, "end_s": numbers, "success": st.one_of(st.booleans(), st.none())},
        ),
        st.integers(),
    ),
    max_size=30,
)


def assert_monotonic(lines: tuple[Line, ...]) -> None:
    words = [word for line in lines for word in line.words]
    assert all(line.words and line.text for line in lines)
    assert all(0 <= word.start <= word.end for word in words)
    assert all(one.end <= other.start for one, other in pairwise(words))


@settings(suppress_health_check=[HealthCheck.too_slow])  # numbers of 400 digits take their time to draw
@given(wire_words, wire_words)
def test_whatever_suno_sends_no_word_ends_before_it_begins_and_none_overtakes_another(words, lines):
    told = [
        {"text": "x", "section": each.get("word"), "words": [{**each, "text": each.get("word")}]}
        for each in lines
        if isinstance(each, dict)
    ]
    assert_monotonic(lines_of(AlignedLyrics.from_wire({"aligned_words": words, "aligned_lyrics": told})))


@given(st.lists(st.text("ab[] \n\r\u2028é海", max_size=8), max_size=20))
def test_no_letter_outside_of_tags_is_lost(parts):
    found = lines_of(lyrics(*((text, i, i + 1) for i, text in enumerate(parts))))

    untagged = re.sub(r"\[\s*[^\[\]\s][^\[\]]{0,79}\]", "", "".join(parts))
    assert "".join("".join(texts(found)).split()) == "".join(untagged.split())


@pytest.mark.parametrize(
    "word",
    [
        {"start_s": "1.5", "end_s": "2.25", "success": True},
        {"start_s": 1.5, "end_s": 2.25},
        {"start_s": 1.5, "end_s": 2.25, "success": None},
    ],
)
def test_a_word_has_its_time_though_it_is_sent_as_text_or_without_success(word):
    (line,) = lines_of(AlignedLyrics.from_wire({"aligned_words": [{"word": "Rise"} | word]}))

    assert (line.start, line.end, line.words[0].placed) == (1.5, 2.25, True)


@pytest.mark.parametrize("reply", [{"aligned_words": None, "aligned_lyrics": None}, {"aligned_words": None}])
def test_lists_that_are_null_are_those_of_an_instrumental(reply):
    assert AlignedLyrics.from_wire(reply) == AlignedLyrics()


@pytest.mark.parametrize("reply", [None, [], {}, {"aligned_words": 3}, "x"])
def test_a_reply_of_another_form_is_unreadable(reply):
    from app.suno.clip import UnreadableReply

    with pytest.raises(UnreadableReply):
        AlignedLyrics.from_wire(reply)
