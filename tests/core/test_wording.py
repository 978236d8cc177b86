from graft.core.wording import counted, some


def test_one_is_counted_without_an_s_and_thousands_have_a_comma() -> None:
    assert [counted(number, "image") for number in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]


def test_of_many_names_the_first_are_said_and_how_many_more_there_are() -> None:
    assert some(["a", "b"], 2) == "a, b"
    assert some(["a", "b", "c"], 2) == "a, b and 1 more"
