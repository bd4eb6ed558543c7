"""Groups of images under the stratified split: kept together, and no class without a side."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from toolkit.dataset.split import reference, stratified


def sides(units: list[list[int]], classes: list[str], share: float, seed: int) -> tuple[Counter, Counter, set[int]]:
    chosen = stratified(units, classes, share, seed)
    images = set(range(len(classes)))
    validation = {index for index in images if index in chosen}
    return (
        Counter(classes[index] for index in images - validation),
        Counter(classes[index] for index in validation),
        validation,
    )


@pytest.mark.parametrize("seed", range(30))
def test_groups_stay_together_and_every_class_is_on_both_sides(seed):
    units = [[0, 1, 2, 3], [4, 5], [6], [7, 8], [9], [10, 11, 12], [13], [14, 15]]
    classes = ["a", "a", "b", "b", *"ab", "b", *"ab", "a", *"aab", "b", *"bb"]
    training, validation, chosen = sides(units, classes, 0.3, seed)
    assert all(set(unit) <= chosen or not set(unit) & chosen for unit in units)
    assert set(training) == set(validation) == {"a", "b"}


@pytest.mark.parametrize("seed", range(30))
def test_a_group_of_one_class_counts_for_all_its_images(seed):
    units = [[0, 1, 2, 3, 4], [5], [6], [7], [8], [9]]
    _, validation, _ = sides(units, ["a"] * 10, 0.5, seed)
    assert sum(validation.values()) == 5


def test_a_move_that_only_an_earlier_one_allows_is_made():
    contents = ["ad", "acb", "cab", "bd"]
    images = iter(range(10))
    units = [[next(images) for _ in content] for content in contents]
    training, validation, _ = sides(units, [name for content in contents for name in content], 0.8, 1)
    assert set(training) == set(validation) == set("abcd")


def test_large_groups_come_first_while_there_is_room_for_them():
    units = [[0], [1], [2], [3], [4], [5, 6, 7, 8, 9]]
    for seed in range(10):
        validation = stratified(units, ["a"] * 10, 0.6, seed)
        assert len(validation) == 6
        assert validation > {5, 6, 7, 8, 9}


def test_a_group_that_brings_a_class_no_nearer_to_its_share_stays():
    units = [[0, 1, 2], [3, 4], [5, 6], [7, 8]]
    assert all(stratified(units, ["a"] * 9, 0.45, seed) == {0, 1, 2} for seed in range(10))
    assert all(reference([[0, 1], [2, 3]], 0.25, seed) == set() for seed in range(10))


def small_cases() -> Iterator[tuple[list[list[int]], list[str], float, int]]:
    """Small sets of groups that up to seven classes compete for, the same in every run."""
    numbers = random.Random(3)
    for case in range(2000):
        known = "abcdefg"[: numbers.randint(1, 7)]
        contents = [numbers.choices(known, k=numbers.randint(1, 4)) for _ in range(numbers.randint(2, 7))]
        images = iter(range(100))
        units = [[next(images) for _ in content] for content in contents]
        yield units, [name for content in contents for name in content], numbers.choice([0.1, 0.3, 0.5, 0.8]), case


def on_both_sides(groups: list[set[str]], chosen: set[int]) -> set[str]:
    inside = set().union(*(groups[number] for number in chosen))
    outside = set().union(*(groups[number] for number in range(len(groups)) if number not in chosen))
    return inside & outside


def test_no_class_lacks_a_side_that_moving_one_group_could_give_it():
    for units, classes, share, seed in small_cases():
        validation = stratified(units, classes, share, seed)
        chosen = {number for number, unit in enumerate(units) if validation.issuperset(unit)}
        assert validation == {index for number in chosen for index in units[number]}  # groups are whole
        groups = [{classes[index] for index in unit} for unit in units]
        now = on_both_sides(groups, chosen)
        better = [number for number in range(len(units)) if on_both_sides(groups, chosen ^ {number}) > now]
        assert better == [], (units, classes, share, seed)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("share", "expected"), [(0.1, {17, 18, 19}), (0.9, set(range(17)))])
def test_a_class_of_large_groups_gives_its_smallest_to_the_empty_side(share, expected, seed):
    units = [list(range(7)), list(range(7, 17)), list(range(17, 20)), list(range(20, 28))]
    expected = expected if share < 0.5 else expected | set(range(20, 28))
    assert stratified(units, ["a"] * 28, share, seed) == expected


def test_no_group_more_would_bring_a_class_nearer_to_its_share():
    numbers = random.Random(8)
    for seed in range(1000):
        sizes = [numbers.randint(1, 9) for _ in range(numbers.randint(2, 7))]
        share = numbers.choice([0.1, 0.2, 0.5, 0.8])
        images = iter(range(100))
        units = [[next(images) for _ in range(size)] for size in sizes]
        validation = stratified(units, ["a"] * sum(sizes), share, seed)
        left = [unit for unit in units if validation.isdisjoint(unit)]
        assert validation
        assert left
        wanted = max(1, min(sum(sizes) - 1, int(share * sum(sizes) + 0.5)))
        for unit in left if len(left) > 1 else []:
            assert abs(wanted - len(validation)) <= abs(wanted - len(validation) - len(unit)), (sizes, share, seed)
