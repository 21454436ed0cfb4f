"""Found, missed and false people: by hand."""

import numpy as np

from hmr.detection.search_quality import Searched, added, search_quality, search_quality_by_count


def boxes(*rows):
    return np.array(rows, np.float64).reshape(-1, 4)


def test_each_marked_person_is_taken_once_and_a_crowd_counts_for_nothing():
    people = boxes((0, 0, 0.2, 1), (0.4, 0, 0.6, 1))
    found = boxes((0, 0, 0.2, 0.9), (0, 0.1, 0.2, 0.9), (0.8, 0, 0.9, 0.2), (0.3, 0.8, 0.35, 1))
    assert search_quality(found, people, boxes()) == (1, 1, 3)  # a second find of the first one is false
    assert search_quality(found, people, boxes((0.7, 0, 1, 0.3))) == (1, 1, 2)
    assert search_quality(boxes(), people, boxes()) == (0, 2, 0)
    assert search_quality(found, boxes(), boxes()) == (0, 0, 4)


def test_counts_alone_and_sums():
    assert search_quality_by_count(3, 5) == (3, 2, 0) and search_quality_by_count(5, 3) == (3, 0, 2)
    assert added([Searched(1, 2, 3), Searched(4, 5, 6)]) == (5, 7, 9)
