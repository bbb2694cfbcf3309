"""Computes the requests that a sequential walk needs, from the times alone."""

from collections import Counter

__all__ = ["requests_for"]


def requests_for(times: list[int], page: int) -> int:
    """Count the requests of an ascending walk over `times`, on a server that does not change.

    A page that ends in a millisecond is followed by one that begins with it; a millisecond
    of a page or more takes its own pages, and one more if it fills the last of them.
    """
    sizes = Counter(times)
    place = requests = 0
    while True:
        requests += 1
        found = times[place : place + page]
        if len(found) < page:
            return requests
        last = found[-1]
        if last > found[0]:
            place += found.index(last)
            continue
        begin, group = place, sizes[last]
        pages = group // page + 1
        requests += pages - 1
        if group % page == 0:
            place = begin + group  # the page that shows the end is read again, from there
            continue
        behind = times[begin + (pages - 1) * page : begin + pages * page]
        if len(behind) < page:
            return requests
        place = begin + (pages - 1) * page + behind.index(behind[-1])
