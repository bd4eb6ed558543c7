"""Groups of images under the stratified split: kept together, and no class without a side."""

from collections import Counter

import pytest

from toolkit.split import stratified


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
