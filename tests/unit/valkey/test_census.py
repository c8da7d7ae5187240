"""Sums of a census: prefixes in bounded memory, the largest keys, weights, pace."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from daemon.valkey.census.pace import MOST_LIGHT, Pace
from daemon.valkey.census.prefixes import CHILDREN, KEPT, MOST_NODES, Prefix, Prefixes, Some
from daemon.valkey.census.tally import (
    MOST_LARGE,
    Large,
    Largest,
    Slice,
    Sum,
    Sums,
    Tally,
    facts,
    prefixes,
)

Path = tuple[bytes, ...]


def rows(prefixes: Prefixes, least: int = 1) -> dict[bytes, Prefix]:
    """What is told, by pattern."""
    return {row.pattern: row for row in prefixes.rows(least)}


def given_paths(*paths: tuple[Path, int], most_nodes: int = MOST_NODES) -> Prefixes:
    """One key of so many bytes under each path."""
    prefixes = Prefixes(most_nodes=most_nodes)
    for path, size in paths:
        prefixes.add(path, Some(1, size))
    return prefixes


def test_every_level_of_a_name_is_a_prefix_with_the_sum_below_it() -> None:
    """What lies below a prefix is in its sum, and each level is told."""
    told = rows(
        given_paths(
            ((b"user:", b"*:", b"cart"), 800),
            ((b"user:", b"*:", b"name"), 100),
            ((b"user:", b"*"), 50),
            ((b"online",), 7),
        )
    )

    assert (3, 950) == told[b"user:*"][1:3]
    assert (2, 900) == told[b"user:*:*"][1:3]
    assert (1, 800) == told[b"user:*:cart"][1:3]
    assert (1, 7) == told[b"online"][1:3]


def test_keys_without_an_expiry_are_told_apart() -> None:
    """The bytes of keys that never end go up through every level."""
    prefixes = Prefixes()
    prefixes.add((b"session:", b"*"), Some(9, 900))
    prefixes.add((b"session:", b"*"), Some(1, 60, 60))

    assert (10, 960, 60, 0) == rows(prefixes)[b"session:*"][1:]


def test_a_level_of_many_names_is_a_level_of_ids() -> None:
    """Where names are as many as ids, what follows them is told for all of them together."""
    paths = [((b"user:", b"name%d:" % n, b"cart"), 10) for n in range(5_000)]
    paths += [((b"user:", b"name%d:" % n, b"address"), 5) for n in range(5_000)]
    told = rows(given_paths(*paths), least=1_000)

    assert (5_000, 50_000, 0, 0) == told[b"user:*:cart"][1:]
    assert (5_000, 25_000, 0, 0) == told[b"user:*:address"][1:]
    assert {b"user:*", b"user:*:*", b"user:*:cart", b"user:*:address"} == set(told)


def test_a_heavy_name_among_many_keeps_its_name() -> None:
    """One tenant with most of the memory is told by name among thousands."""
    paths = [((b"tenant:", b"t%d:" % n, b"doc"), 1) for n in range(3_000)]
    heavy = [((b"tenant:", b"acme:", b"doc"), 500)] * 40
    told = rows(given_paths(*paths[:100], *heavy, *paths[100:]), least=100)

    assert (40, 20_000) == told[b"tenant:acme:*"][1:3]
    assert (3_000, 3_000) == told[b"tenant:*:doc"][1:3]


def test_memory_does_not_grow_with_the_names() -> None:
    """However many different names come, the beginnings that are kept are bounded."""
    prefixes = Prefixes(most_nodes=500)
    for n in range(20_000):
        path = (b"a%d:" % (n % 61), b"b%d:" % (n % 59), b"c%d:" % (n % 53), b"d%d" % n)
        prefixes.add(path, Some(1, n % 100))
        assert prefixes.nodes <= 510

    assert 20_000 == sum(row.keys for row in prefixes.rows(1) if row.pattern.count(b":") == 1)


names = st.integers(0, 3 * CHILDREN).map(lambda n: b"n%d:" % n)
leaves = st.integers(0, 3 * CHILDREN).map(lambda n: b"k%d" % n)
paths = st.lists(st.tuples(st.sampled_from([b"x:", b"y:"]), names, leaves), max_size=400)


@settings(max_examples=60, deadline=None)
@given(paths, st.randoms(use_true_random=False))
def test_what_a_name_lacks_is_told(found: list[Path], dice: object) -> None:
    """A name's sum is never too much, and too little by no more than is said."""
    prefixes = Prefixes(most_nodes=300)
    exact: Counter[bytes] = Counter()
    for n, path in enumerate(found):
        size = 1 + n % 13
        prefixes.add(path, Some(1, size))
        for depth in range(1, len(path) + 1):
            exact[b"".join(path[:depth]) + (b"*" if depth < len(path) else b"")] += size

    for row in prefixes.rows(1):
        if b"*" not in row.pattern[:-1] and row.pattern[-2:] != b"**":
            assert row.size <= exact[row.pattern] <= row.size + row.lacking, row
    whole = [row.size for row in prefixes.rows(1) if row.pattern.count(b":") == 1]
    assert sum(whole) == sum(1 + n % 13 for n in range(len(found)))


def large(size: int, name: bytes = b"") -> Large:
    """A key."""
    return Large(size, 0, 0, name or b"%d" % size, 1, "string", "raw")


@given(st.lists(st.lists(st.integers(1, 10_000), max_size=60, unique=True), max_size=8))
def test_the_largest_are_those_of_all_slices(slices: list[list[int]]) -> None:
    """Whatever order keys come in, the largest of all are kept, largest first."""
    largest, every = Largest("size"), set[int]()
    for sizes in slices:
        largest.add([large(size) for size in sizes])
        every.update(sizes)

    assert sorted(every, reverse=True)[:MOST_LARGE] == [one.size for one in largest.first()]


def test_a_key_that_comes_twice_counts_once() -> None:
    """SCAN may show a key again while a table shrinks."""
    largest = Largest("size")
    largest.add([large(5, b"a")])
    largest.add([large(5, b"a"), large(4, b"b")])

    assert [b"a", b"b"] == [one.name for one in largest.first()]


def sliced(keys: int, *, size: int, weighed: Sum, big: Sums | None = None) -> Slice:
    """A slice of strings without a TTL."""
    sums = Sums({("string", "string raw"): Sum(keys, size)}, {1: Sum(keys, size)}, [])
    scanned = keys + round(weighed.keys)
    return Slice(scanned, weighed, sums if keys else Sums(), big or Sums(), Sums(), [], [])


def test_keys_that_were_looked_at_stand_for_those_that_were_weighed() -> None:
    """Sums are exact for what was weighed, and big keys count for themselves alone."""
    tally = Tally(31, ended=True)
    big = Sums({("zset", "zset skiplist"): Sum(1, 9_000, 70)}, {1: Sum(1, 9_000, 70)}, [])
    tally.add(
        sliced(10, size=1_000, weighed=Sum()), [sliced(0, size=0, weighed=Sum(20, 2_600), big=big)]
    )
    found = facts({0: tally}, 1.0)

    assert (30, 3_600) == (found.types["string"].keys, found.types["string"].bytes)
    assert (1, 9_000, 70) == (
        found.types["zset"].keys,
        found.types["zset"].bytes,
        found.types["zset"].elements,
    )
    assert (found.whole, found.exact) == (True, False)


def test_databases_stand_for_themselves_alone() -> None:
    """A small database that was seen whole is not scaled up with a large one."""
    small, large_one = Tally(10, ended=True), Tally(1_000)
    small.add(sliced(10, size=500, weighed=Sum()), [])
    large_one.add(sliced(100, size=10_000, weighed=Sum()), [])
    found = facts({3: small, 0: large_one}, 1.0)

    assert (10, 500) == (found.databases[3].keys, found.databases[3].bytes)
    assert (1_000, 100_000) == (found.databases[0].keys, found.databases[0].bytes)
    assert (1_010, 110, 110) == (found.keys, found.weighed, found.seen)
    assert not found.whole


def test_a_giant_never_stands_for_others() -> None:
    """Of a database that was not seen to its end only keys like any others are scaled up."""
    tally = Tally(200)
    giant = Sums(
        {("zset", "zset skiplist"): Sum(1, 5_000_000, 70)},
        {1: Sum(1, 5_000_000, 70)},
        [((b"lb:", b"weekly"), Some(1, 5_000_000, 5_000_000))],
    )
    first = sliced(100, size=1_000, weighed=Sum())
    tally.add(structs.replace(first, giant=giant), [])
    found = facts({0: tally}, 1.0)
    (board, _) = prefixes({0: tally}, 1)[0]

    assert (200, 2_000) == (found.types["string"].keys, found.types["string"].bytes)
    assert (1, 5_000_000) == (found.types["zset"].keys, found.types["zset"].bytes)
    assert (b"lb:*", 1, 5_000_000, 5_000_000, 0) == board


def test_all_keys_are_looked_at_while_there_is_time() -> None:
    """Nothing is only weighed as long as time lasts for all; then as many as it takes."""
    pace = Pace()
    pace.took(0.01, 1_000, name_bytes=10_000, light=False)

    assert 0 == pace.light_slices(900_000, 10.0)
    assert 1 <= pace.light_slices(1_500_000, 10.0) < 10
    assert MOST_LIGHT == pace.light_slices(10_000_000, 10.0)


def test_slices_shrink_for_long_names_and_slow_engines() -> None:
    """A slice takes about as long, and about as much memory, whatever the keys are like."""
    slow, long = Pace(), Pace()
    slow.took(1.0, 200, name_bytes=2_000, light=False)
    long.took(0.01, 200, name_bytes=200 << 20, light=False)

    assert 10 == slow.count == long.count
    for _ in range(9):
        slow.took(0.001, slow.count, name_bytes=10, light=False)
    assert 2_000 == slow.count


def test_constants_fit_each_other() -> None:
    """What is taken together makes room."""
    assert KEPT < CHILDREN
