import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.core.errors import UsageError
from toolkit.dataset import duplicates, split
from toolkit.dataset.assignment import Rules
from toolkit.dataset.duplicates import Kind
from toolkit.dataset.selection import Image
from toolkit.dataset.split import GroupRule, units

SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


def images(*names: str) -> list[Image]:
    return [
        Image(name, name.partition("/")[0], name.partition("/")[2], name, 1, index) for index, name in enumerate(names)
    ]


def alone(count: int) -> list[tuple[int, ...]]:
    return [(index,) for index in range(count)]


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 300), SHARES, SEEDS)
def test_reference_takes_the_end_of_numpys_shuffle(count: int, share: float, seed: int) -> None:
    numpy = pytest.importorskip("numpy", reason="NumPy comes with the test requirements (scikit-learn)")
    order = numpy.arange(count)
    numpy.random.RandomState(seed).shuffle(order)
    size = int(share * count)
    assert split.reference(alone(count), share, seed) == set(order[count - size :].tolist())


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=1), SHARES, SEEDS)
def test_stratified_keeps_the_share_of_each_class(counts: dict[str, int], share: float, seed: int) -> None:
    classes = [name for name, count in sorted(counts.items()) for _ in range(count)]
    validation = split.stratified(alone(len(classes)), classes, share, seed)
    for name, count in counts.items():
        inside = sum(classes[index] == name for index in validation)
        assert (0 < inside < count) if count > 1 else inside == 0
        assert abs(inside - share * count) <= 0.5 or inside in (0, 1, count - 1)


GROUPED = st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.sampled_from("uvwxyz"))), min_size=1)


@settings(deadline=None)  # the machine may be busy
@given(GROUPED, SHARES, SEEDS, st.sampled_from(["reference", "stratified", "stable"]))
def test_groups_are_never_on_both_sides(
    content: list[tuple[str, str | None]], share: float, seed: int, method: str
) -> None:
    keys = [key for _, key in content]
    together = units(keys)
    if method == "reference":
        validation = split.reference(together, share, seed)
    elif method == "stratified":
        validation = split.stratified(together, [name for name, _ in content], share, seed)
    else:
        validation = split.stable([(key or str(n)).encode() for n, key in enumerate(keys)], 0, share, seed)
    for unit in together:
        assert len(validation.intersection(unit)) in (0, len(unit))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 5), min_size=2, max_size=30), SEEDS)
def test_stratified_gives_every_class_of_two_groups_both_sides(sizes: list[int], seed: int) -> None:
    keys = [f"{number % 3} {number}" for number, size in enumerate(sizes) for _ in range(size)]
    classes = [key[0] for key in keys]
    validation = split.stratified(units(keys), classes, 0.2, seed)
    for name in set(classes):
        groups = {key for key in keys if key[0] == name}
        inside = {keys[index] for index in validation if classes[index] == name}
        assert (0 < len(inside) < len(groups)) if len(groups) > 1 else len(inside) <= 1


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.binary(min_size=1), unique=True), st.lists(st.binary(min_size=1)), SHARES, SEEDS)
def test_stable_never_moves_an_image_when_others_come(
    old: list[bytes], new: list[bytes], share: float, seed: int
) -> None:
    before = split.stable(old, 0, share, seed)
    everything = [*new, *old]
    after = split.stable(everything, 0, share, seed)
    assert {index + len(new) for index in before} == {index for index in after if index >= len(new)}
    assert len({(identity, index in after) for index, identity in enumerate(everything)}) == len(set(everything))


def test_stable_keeps_the_share_on_average() -> None:
    validation = split.stable([str(number).encode() for number in range(20_000)], 0, 0.2, 1)
    assert abs(len(validation) - 4000) < 5 * math.sqrt(20_000 * 0.2 * 0.8)
    assert validation != split.stable([str(number).encode() for number in range(20_000)], 0, 0.2, 2)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("1", ["p1", "p1", "p2", None]),
        ("2", ["p1/a", "p1/b", "p2", None]),
        (r"^p\d", ["p1", "p1", "p2", "p1"]),
        (r"(\d)\.jpg$", ["1", "2", "1", "1"]),
        (r"(p)(\d/)?", ["p\n1/", "p\n1/", "p\n2/", "p\n"]),
    ],
)
def test_group_rules(rule: str, expected: list[str | None]) -> None:
    found = images("cat/p1/a/1.jpg", "dog/p1/b/2.jpg", "cat/p2/1.jpg", "cat/p1.jpg", "cat/5.jpg")
    assert GroupRule(rule).keys(found)[:4] == expected


@pytest.mark.parametrize("rule", ["1", "^v", "(v)[0-9]"])
def test_a_rule_that_leaves_a_class_with_one_group_is_a_mistake(rule: str) -> None:
    with pytest.raises(UsageError, match="makes one group of all images of dog"):
        GroupRule(rule).keys(images("cat/v1/1.jpg", "cat/w2/2.jpg", "cat/3.jpg", "dog/v3/1.jpg", "dog/v3/2.jpg"))
    assert GroupRule(rule).keys(images("cat/v1/1.jpg", "cat/w2/2.jpg", "dog/v3/1.jpg"))[0] is not None


@pytest.mark.parametrize(("rule", "reason"), [("1", "no image lies in a folder"), ("video", "no image matches")])
def test_a_rule_that_groups_nothing_is_a_mistake(rule: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        GroupRule(rule).keys(images("cat/1.jpg", "cat/2.jpg"))
    assert caught.value.message == f"--group-by {rule}: {reason} (such as 1.jpg)"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", "--group-by is empty: give a folder depth from 1, or a regular expression"),
        ("0", "--group-by 0 groups nothing: give a folder depth from 1, or a regular expression"),
        ("00", "--group-by 0 groups nothing: give a folder depth from 1, or a regular expression"),
        ("(", "--group-by is neither a folder depth nor a regular expression: missing )"),
    ],
)
def test_a_rule_that_cannot_be_read_says_why(rule: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        GroupRule(rule)
    assert caught.value.message.startswith(message)


def test_a_rule_is_recorded_as_it_was_written() -> None:
    rules = Rules(validation_fraction=0.2, seed=1, group_by=GroupRule(r"^p\d"))
    assert rules.options()["group_by"] == r"^p\d"


def test_no_images_need_no_group() -> None:
    assert GroupRule("1").keys([]) == []


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["cat/x.jpg", "dog/x.jpg"], Kind.MULTI_LABEL),
        (["cat/vid/x.jpg", "dog/cat/vid/x.jpg"], Kind.MULTI_LABEL),
        (["cat/x.jpg", "cat/x_1.jpg"], Kind.RENAMED),
        (["cat/x.jpg", "cat/x_1.jpg", "cat/x_22.jpg"], Kind.RENAMED),
        (["cat/x.jpg", "dog/x_1.jpg"], Kind.RENAMED),
        (["cat/v/x_3.jpg", "cat/v/x_3_1.jpeg"], Kind.RENAMED),
        (["cat/a/x.jpg", "cat/b/x.jpg"], Kind.IDENTICAL),
        (["cat/x_1.jpg", "cat/x_2.jpg"], Kind.IDENTICAL),
        (["cat/x.jpg", "cat/y.jpg"], Kind.IDENTICAL),
        (["cat/x_1/1.jpg", "cat/x/1.jpg"], Kind.IDENTICAL),
    ],
)
def test_equal_images_are_told_apart(names: list[str], kind: Kind) -> None:
    found = duplicates.find_clusters(images("cat/other.jpg", *names), [b"other", *[b"same"] * len(names)])
    assert found == [duplicates.Cluster(kind, tuple(range(1, len(names) + 1)))]


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.tuples(
            st.integers(0, 8),
            st.one_of(st.none(), st.sampled_from("uvw")),
            st.sampled_from(["training", "validation", "test"]),
        )
    )
)
def test_mending_leaves_no_leak_and_moves_nothing_else(content: list[tuple[int, str | None, str]]) -> None:
    together = units([key for _, key, _ in content])
    side_of_unit = {index: content[unit[0]][2] for unit in together for index in unit}
    sides = [side_of_unit[index] for index in range(len(content))]
    clusters = duplicates.find_clusters(
        images(*(f"a/{number}.jpg" for number in range(len(content)))), [bytes([digest]) for digest, _, _ in content]
    )
    mended = duplicates.move_duplicates_to_one_split(clusters, together, sides)
    assert duplicates.leaking(clusters, mended) == []
    for unit in together:
        assert len({mended[index] for index in unit}) == 1
    if not duplicates.leaking(clusters, sides):
        assert mended == sides


CROWDED = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1), min_size=2, max_size=30)


@given(CROWDED, SHARES, SEEDS)
def test_boxes_of_a_class_in_all_pictures_are_on_both_sides_and_no_picture_in_two_splits(
    contents: list[dict[str, int]], share: float, seed: int
) -> None:
    contents = [{**content, "everywhere": 1} for content in contents]
    validation = split.stratified_boxes(contents, share, seed)
    assert validation == split.stratified_boxes(contents, share, seed)
    assert 0 < len(validation) < len(contents)
    test = split.stratified_boxes(contents, (1 - share) / 2, seed, validation)
    assert not validation & test


@pytest.mark.parametrize("seed", [1, 2, 3, 123])
def test_stratified_boxes_keeps_the_share_of_boxes_and_of_pictures(seed: int) -> None:
    chance = random.Random(seed)
    contents = []
    for _ in range(300):
        content = Counter(person=chance.randint(0, 6), car=chance.randint(1, 4) * (chance.random() < 0.3))
        content["bus"] = chance.randint(1, 9) * (chance.random() < 0.08)
        contents.append(+content or Counter({"": 1}))
    chosen = split.stratified_boxes(contents, 0.2, seed)
    total, inside = Counter[str](), Counter[str]()
    for number, content in enumerate(contents):
        total += content
        inside += content if number in chosen else Counter()
    assert abs(len(chosen) - 60) <= 3
    assert all(abs(inside[name] - 0.2 * count) <= 3 for name, count in total.items())
