import random

import pytest

from toolkit.dataset.split import shuffled

# Printed by NumPy: RandomState(seed).shuffle(numpy.arange(10)).
NUMPY = {
    0: [2, 8, 4, 9, 1, 6, 7, 3, 0, 5],
    123: [4, 0, 7, 5, 8, 3, 1, 6, 9, 2],
    4294967295: [6, 9, 5, 1, 8, 0, 7, 4, 2, 3],
}


@pytest.mark.parametrize("seed", NUMPY)
def test_shuffles_as_numpy_printed(seed: int) -> None:
    assert shuffled(10, seed) == NUMPY[seed]


@pytest.mark.parametrize("seed", [0, 1, 42, 123, 2**31, 2**32 - 1])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 10, 31, 1000, 5000])
def test_shuffles_as_the_installed_numpy(seed: int, count: int) -> None:
    numpy = pytest.importorskip("numpy", reason="NumPy comes with the test requirements (scikit-learn)")
    expected = numpy.arange(count)
    numpy.random.RandomState(seed).shuffle(expected)
    assert shuffled(count, seed) == expected.tolist()


def test_leaves_the_random_module_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    shuffled(100, 7)
    assert random.random() == expected
