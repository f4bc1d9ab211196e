"""The listing of bands: each with the formula of the structure that it was computed from."""

import contextlib
import datetime
import json
import random
from argparse import Namespace

import asyncpg
import hypothesis.strategies as st
import pytest

import aiidadb
from aiidadb.exceptions import InvalidInputError, NotExistent
from aiidadb.queries.bands import BandsRow
from aiidadb.queries.formula import FORMULA_MODES, get_formula
from aiidadb.sql import QUERIES
from tests.helpers.concurrent_change import change_after_first_question
from tests.helpers.graphs import (
    BANDS,
    CALCULATION,
    DATA_LINKS,
    INT,
    LINK_TYPES,
    SOME_TIME,
    STRUCTURE,
    WORKFLOW,
    Graph,
    Node,
    each_in_a_transaction,
    graphs,
    write_groups,
    write_links,
    write_nodes,
    write_users,
)
from tests.helpers.json_values import TOO_DEEP

# What verdi gives to djsite.
VERDI = {
    "element": None,
    "element_only": None,
    "formulamode": "hill",
    "past_days": None,
    "group_name": None,
    "group_pk": None,
    "all_users": False,
}


def species(*symbols, names=None):
    """The attributes of a structure with one site of each symbol."""
    kinds = [
        {"name": symbol, "symbols": [symbol], "weights": [1.0], "mass": 1.0}
        for symbol in dict.fromkeys(symbols)
    ]
    return {
        "kinds": kinds,
        "sites": [{"kind_name": name, "position": [0.0, 0.0, 0.0]} for name in names or symbols],
        "cell": [[5.43, 0.0, 0.0]],
    }


ALLOY = {
    "kinds": [{"name": "a", "symbols": ["Fe", "Co"], "weights": [0.5, 0.4], "mass": 1.0}],
    "sites": [{"kind_name": "a", "position": [0.0, 0.0, 0.0]}],
}


def bands(pk, **options):
    """Bands; the higher the pk, the older they are."""
    return Node(pk, BANDS, ctime=SOME_TIME - datetime.timedelta(days=pk), **options)


@pytest.fixture
async def profile(head_dsn):
    return aiidadb.Profile.from_dsn(head_dsn, default_user_email="ada@epfl.ch")


@pytest.fixture
async def opened(profile):
    """A backend whose default user is ada@epfl.ch, on a database with its users."""
    async with aiidadb.open_backend(profile) as backend:
        await write_users(backend._session, "ada@epfl.ch", "emmy@example.org")
        yield backend


async def fill(backend, nodes, links=(), groups=None):
    await write_nodes(backend._session, nodes, line=backend.version.line)
    await write_links(backend._session, links)
    return await write_groups(backend._session, groups or {})


async def formulas(backend, **options):
    rows = await backend.queries.get_bands_and_parents_structure(**options)
    return {row.pk: row.formula for row in rows}


# ---------------------------------------------------------------- rows


@pytest.mark.quick
async def test_rows_are_typed_and_in_order_of_creation(opened):
    await fill(
        opened,
        [
            Node(1, STRUCTURE, attributes=species("Si", "Si")),
            bands(2, label="new"),
            bands(3, label="old"),
            Node(5, BANDS, ctime=SOME_TIME - datetime.timedelta(days=3), label="same time"),
        ],
        [(1, 2, "create"), (1, 3, "create"), (1, 5, "create")],
    )
    rows = await opened.queries.get_bands_and_parents_structure()
    assert rows == [
        BandsRow(3, "Si2", SOME_TIME - datetime.timedelta(days=3), "old", 1),
        BandsRow(5, "Si2", SOME_TIME - datetime.timedelta(days=3), "same time", 1),
        BandsRow(2, "Si2", SOME_TIME - datetime.timedelta(days=2), "new", 1),
    ]
    assert rows[0].as_strings() == ["3", "Si2", "14 May 2024", "old"]


def test_the_date_is_in_utc_and_in_english():
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    row = BandsRow(1, "", datetime.datetime(2024, 1, 1, 8, tzinfo=tokyo), "")
    assert row.as_strings()[2] == "31 Dec 2023"
    months = [
        BandsRow(1, "", datetime.datetime(2024, month, 9, tzinfo=datetime.UTC), "").as_strings()[2]
        for month in range(1, 13)
    ]
    assert months == [
        "09 Jan 2024", "09 Feb 2024", "09 Mar 2024", "09 Apr 2024", "09 May 2024", "09 Jun 2024",
        "09 Jul 2024", "09 Aug 2024", "09 Sep 2024", "09 Oct 2024", "09 Nov 2024", "09 Dec 2024",
    ]  # fmt: skip


async def test_subclasses_of_bands_are_bands_and_those_of_structures_no_structures(opened):
    await fill(
        opened,
        [
            Node(1, STRUCTURE, attributes=species("Si")),
            Node(2, STRUCTURE + "Special.", attributes=species("C")),
            Node(3, BANDS + "Special."),
            Node(4, "data.core.array.bands.Other."),
        ],
        [(1, 2, "create"), (2, 3, "create"), (2, 4, "create")],
    )
    assert await formulas(opened) == {3: "Si"}


async def test_the_closest_structure_over_any_link_counts_not_the_oldest(opened):
    await fill(
        opened,
        [
            Node(1, STRUCTURE, attributes=species("Si")),
            Node(2, CALCULATION),
            Node(3, STRUCTURE, attributes=species("Ge")),
            Node(4, CALCULATION),
            bands(5),
        ],
        [(1, 2, "input_calc"), (2, 3, "return"), (3, 4, "input_work"), (4, 5, "return")],
    )
    assert await formulas(opened) == {5: "Ge"}


async def test_what_a_structure_does_not_tell_is_unknown(opened):
    cases = [
        (species("Ba", "Ti", "O", "O", "O"), "BaO3Ti"),
        (ALLOY, "{Co0.40Fe0.50X0.10}"),
        (species(), ""),
        ({"kinds": None, "sites": None}, "<<UNKNOWN>>"),
        ({**species("Si"), "kinds": None}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": None}, "<<UNKNOWN>>"),
        ({**species("Si"), "kinds": {}}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": 7}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": {"kind_name": "Si"}}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": [{"kind_name": "Si"}, {}]}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": ["Si"]}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": [[{"kind_name": "Si"}]]}, "<<UNKNOWN>>"),
        ({**species("Si"), "sites": [{"kind_name": 1}]}, "<<UNKNOWN>>"),
        ({**species("Si"), "kinds": ["Si"]}, "<<UNKNOWN>>"),
        ({**species("Si"), "kinds": []}, "<<UNKNOWN>>"),
        (species("Si", names=["Ge"]), "<<UNKNOWN>>"),
        ({}, "<<UNKNOWN>>"),
        (None, "<<UNKNOWN>>"),
    ]
    structures = [Node(pk, STRUCTURE, attributes=case[0]) for pk, case in enumerate(cases, 1)]
    made = [bands(100 + structure.pk) for structure in structures]
    await fill(opened, [*structures, *made], [(node.pk - 100, node.pk, "create") for node in made])
    found = await formulas(opened)
    for pk, (attributes, formula) in enumerate(cases, 101):
        assert found[pk] == formula, attributes
    # With elements asked for, these raise nothing, and are left out where kinds are not a list.
    with_silicon = await formulas(opened, element="Si")
    assert set(with_silicon.values()) == {"<<UNKNOWN>>"}
    assert len(with_silicon) == len(await formulas(opened, element_only=["Si"])) == 8


async def test_bands_without_a_structure_are_listed_unless_elements_are_asked_for(opened):
    await fill(opened, [Node(1), bands(2)], [(1, 2, "create")])
    assert await formulas(opened) == {2: "<<NOT FOUND>>"}
    for elements in (["Si"], []):
        assert await formulas(opened, element=elements) == {}
        assert await formulas(opened, element_only=elements) == {}


# ---------------------------------------------------------------- which structure


@pytest.fixture
async def relaxed(opened):
    """Bands 9 of a workflow that relaxes the structure 1 to 4 and computes the bands of that.

    Bands 10 are of the same workflow, but were read from a file: nothing was computed for them.
    """
    await fill(
        opened,
        [
            Node(1, STRUCTURE, attributes=species(*["Si"] * 8)),
            Node(2, WORKFLOW),
            Node(3, CALCULATION),
            Node(4, STRUCTURE, attributes=species("Si", "Si")),
            Node(5, CALCULATION),
            Node(6, INT),
            Node(7, CALCULATION),
            Node(8, STRUCTURE, attributes=species("Ge")),
            Node(9, BANDS),
            Node(10, BANDS),
        ],
        [
            (1, 2, "input_work"),
            (8, 2, "input_work"),
            (2, 3, "call_calc"),
            (1, 3, "input_calc"),
            (3, 4, "create"),
            (2, 5, "call_calc"),
            (4, 5, "input_calc"),
            (5, 6, "create"),
            (2, 7, "call_calc"),
            (6, 7, "input_calc"),
            (7, 9, "create"),
            (2, 4, "return"),
            (2, 9, "return"),
            (2, 10, "return"),
        ],
    )
    return opened


@pytest.mark.quick
async def test_bands_belong_to_the_structure_that_they_were_computed_from(relaxed):
    """Also where the workflow's input is nearer, which is all that others have."""
    rows = await relaxed.queries.get_bands_and_parents_structure()
    assert [(row.pk, row.formula, row.structure_pk) for row in rows] == [
        (9, "Si2", 4),
        (10, "Ge", 8),
    ]
    assert rows[0].as_strings() == ["9", "Si2", "17 May 2024", ""]


@pytest.mark.quick
async def test_link_types_that_are_given_are_all_that_is_followed(relaxed):
    for link_types, expected in [
        (("create", "input_calc"), [("Si2", 4), ("<<NOT FOUND>>", None)]),
        (LINK_TYPES, [("Ge", 8), ("Ge", 8)]),
        (["return", "input_work"], [("Ge", 8), ("Ge", 8)]),
        ({"create"}, [("<<NOT FOUND>>", None)] * 2),
        ((), [("<<NOT FOUND>>", None)] * 2),
    ]:
        rows = await relaxed.queries.get_bands_and_parents_structure(link_types=link_types)
        assert [(row.formula, row.structure_pk) for row in rows] == expected, link_types


@pytest.mark.hypothesis
@pytest.mark.parametrize("mode", FORMULA_MODES)
async def test_it_is_what_python_finds_in_any_graph(profile, mode):
    contents = (
        species("Si", "Si"), species("C", "H", "H"), species("Ba", "Ti", "O", "O", "O"), ALLOY,
        species("O"), {"kinds": None, "sites": []}, species("Fe", names=["Co"]),
    )  # fmt: skip

    async def check(graph, chosen):
        line = backend.version.line
        types = {pk: BANDS if kind == CALCULATION else kind for pk, kind in graph.types.items()}
        made = Graph(types, graph.links)
        nodes = [Node(pk, kind, attributes=chosen[pk % 5]) for pk, kind in types.items()]
        await write_users(backend._session, "ada@epfl.ch")
        await write_nodes(backend._session, nodes, line=line)
        await write_links(backend._session, made.links)
        content = {node.pk: node.attributes for node in nodes}

        def closest(link_types):
            return made.closest(types, lambda pk: types[pk] == STRUCTURE, link_types)

        def expected(structure):
            if structure is None:
                return "<<NOT FOUND>>"
            found = content[structure]
            return get_formula(found["kinds"], found["sites"], mode=mode)

        for link_types, structure_of in [
            (None, closest(None) | closest(DATA_LINKS)),
            (("return", "create"), closest({"return", "create"})),
        ]:
            rows = await backend.queries.get_bands_and_parents_structure(
                formulamode=mode, link_types=link_types
            )
            assert {row.pk: (row.structure_pk, row.formula) for row in rows} == {
                pk: (structure_of.get(pk), expected(structure_of.get(pk)))
                for pk, kind in types.items()
                if kind == BANDS
            }

    async with aiidadb.open_backend(profile) as backend:
        await each_in_a_transaction(
            backend,
            check,
            graphs(),
            st.lists(st.sampled_from(contents), min_size=5, max_size=5),
            count=5,
        )


# ---------------------------------------------------------------- values that Python cannot hold

# As PostgreSQL reads a time: the date in the listing, and how the problem begins.
ODD_TIMES = {
    "-infinity": ("-infinity", "ctime -infinity:"),
    "4713-01-01 00:00:00+00 BC": ("01 Jan 4713 BC", "ctime 4713-01-01 00:00:00 BC:"),
    "0044-03-15 12:30:00+00 BC": ("15 Mar 0044 BC", "ctime 0044-03-15 12:30:00 BC:"),
    "0001-12-31 23:59:59.999999+00 BC": ("31 Dec 0001 BC", "ctime 0001-12-31 23:59:59.999999 BC:"),
    "0001-01-01 00:00:00+00": ("01 Jan 0001", None),
    "2024-05-17 09:30:00+00": ("17 May 2024", None),
    "9999-12-31 23:59:59.999999+00": ("31 Dec 9999", None),
    "10000-01-01 00:00:00+00": ("01 Jan 10000", "ctime 10000-01-01 00:00:00:"),
    "294276-12-31 23:59:59+00": ("31 Dec 294276", "ctime 294276-12-31 23:59:59:"),
    "infinity": ("infinity", "ctime infinity:"),
}


@pytest.mark.quick
async def test_a_time_that_python_cannot_hold_is_told_and_spoils_no_other_row(opened):
    pks = range(2, 2 + len(ODD_TIMES))
    await fill(
        opened,
        [Node(1, STRUCTURE, attributes=species("Si")), *(Node(pk, BANDS) for pk in pks)],
        [(1, pk, "create") for pk in pks],
    )
    async with opened.transaction() as connection:
        await connection.execute(
            "update db_dbnode set ctime = given.time::timestamptz"
            " from unnest($1::int[], $2::text[]) as given (pk, time) where id = given.pk",
            pks,
            list(ODD_TIMES),
        )
        await connection.execute("set timezone = 'Asia/Kathmandu'; set datestyle = 'German'")
        rows = await opened.queries.get_bands_and_parents_structure()
        assert [row async for row in opened.queries.get_bands_and_parents_structure()] == rows
    assert [(row.pk, row.formula) for row in rows] == [(pk, "Si") for pk in pks]
    for row, (date, problem) in zip(rows, ODD_TIMES.values(), strict=True):
        assert row.as_strings() == [str(row.pk), "Si", date, ""]
        if problem is None:
            assert (row.ctime is not None, row.problem) == (True, None)
        else:
            assert row.ctime is None
            assert row.problem.startswith(problem)
    assert [row.ctime for row in rows[4:7]] == [
        datetime.datetime.min.replace(tzinfo=datetime.UTC),
        SOME_TIME,
        datetime.datetime.max.replace(tzinfo=datetime.UTC),
    ]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e5000"])
async def test_a_weight_that_python_cannot_hold_matters_where_a_site_names_its_kind(opened, number):
    kinds = json.dumps(species("Si")["kinds"] + [{"name": "odd", "symbols": ["C"], "weights": [7]}])
    sites = [json.dumps(species("Si", names=names)["sites"]) for names in (["Si"], ["odd"])]
    await fill(
        opened,
        [Node(1, STRUCTURE), Node(2, STRUCTURE), Node(3, STRUCTURE, attributes=species("Ge"))]
        + [Node(pk, BANDS) for pk in (4, 5, 6)],
        [(1, 4, "create"), (2, 5, "create"), (3, 6, "create")],
    )
    for pk, sites_of_it in zip((1, 2), sites, strict=True):
        await opened._session.execute(
            "update db_dbnode set attributes = $2::text::jsonb where id = $1",
            pk,
            f'{{"kinds": {kinds.replace("7", number)}, "sites": {sites_of_it}}}',
        )
    rows = await opened.queries.get_bands_and_parents_structure()
    assert [(row.pk, row.formula) for row in rows] == [(4, "Si"), (5, "<<UNKNOWN>>"), (6, "Ge")]
    assert [row.problem is None for row in rows] == [True, False, True]
    assert rows[1].problem.startswith("the structure has")
    assert await formulas(opened, element="C") == {4: "Si", 5: "<<UNKNOWN>>"}


async def test_kinds_nested_too_deep_for_python_are_told_and_spoil_no_other_row(opened):
    kinds = f'[{{"name": "Si", "symbols": {TOO_DEEP}, "weights": [1.0]}}]'
    await fill(
        opened,
        [Node(1, STRUCTURE), Node(2, STRUCTURE, attributes=species("Ge"))]
        + [Node(pk, BANDS) for pk in (3, 4)],
        [(1, 3, "create"), (2, 4, "create")],
    )
    await opened._session.execute(
        "update db_dbnode set attributes = $1::text::jsonb, ctime = 'infinity' where id in (1, 3)",
        f'{{"kinds": {kinds}, "sites": [{{"kind_name": "Si"}}]}}',
    )
    rows = await opened.queries.get_bands_and_parents_structure()
    assert [(row.pk, row.formula) for row in rows] == [(4, "Ge"), (3, "<<UNKNOWN>>")]
    assert rows[1].problem == (
        "ctime infinity: Python's times are from the year 1 to 9999; "
        "the structure has JSON that is nested deeper than Python can read"
    )


# ---------------------------------------------------------------- filters


@pytest.fixture
async def campaign(opened):
    """Bands 11 … 16 of three structures, in two groups, of two users."""
    structures = [
        Node(1, STRUCTURE, attributes=species("Si", "Si")),
        Node(2, STRUCTURE, attributes=species("Si", "O", "O"), user=2),
        Node(3, STRUCTURE, attributes=ALLOY),
        Node(4, STRUCTURE, attributes={"kinds": None, "sites": None}),
    ]
    now = datetime.datetime.now(datetime.UTC)
    made = [
        Node(pk, BANDS, user=2 if pk == 12 else 1, ctime=now - datetime.timedelta(days=pk - 10.5))
        for pk in range(11, 17)
    ]
    await fill(
        opened,
        [*structures, *made],
        [(1, 11, "create"), (1, 12, "create"), (2, 13, "create"), (3, 14, "create"),
         (4, 15, "create")],
        {"a": [11, 12, 13], "b": [13, 14, 16, 1]},
    )  # fmt: skip
    return opened


@pytest.mark.quick
async def test_filters(campaign):
    for options, expected in [
        ({}, [16, 15, 14, 13, 11]),
        ({"all_users": True}, [16, 15, 14, 13, 12, 11]),
        ({"past_days": 3}, [13, 11]),
        ({"past_days": 2.6, "all_users": True}, [13, 12, 11]),
        ({"past_days": 0}, []),
        ({"group_name": ["a"]}, [13, 11]),
        ({"group_name": ["a"], "all_users": True}, [13, 12, 11]),
        ({"group_name": ["a", "b"]}, [16, 14, 13, 11]),
        ({"group_name": "b"}, [16, 14, 13]),
        ({"group_pk": [1, 2]}, [16, 14, 13, 11]),
        ({"group_pk": 1, "group_name": "b"}, []),
        ({"group_name": []}, []),
        ({"element": ["Si"]}, [13, 11]),
        ({"element": "Si"}, [13, 11]),
        ({"element": ("O", "C")}, [13]),
        ({"element": ["Fe"]}, [14]),
        ({"element": ["Co"]}, []),  # only the first symbol of a kind counts
        ({"element": []}, []),
        ({"element_only": ["Si"]}, [13, 11]),  # not exclusive
        ({"element_only": ["Si", "O"]}, [13]),
        ({"element_only": []}, [14, 13, 11]),
        ({"element": ["Si"], "element_only": ["O"]}, [13]),
        ({"element": ["Si"], "group_name": ["b"], "past_days": 10, "all_users": True}, [13]),
    ]:
        assert list(await formulas(campaign, **options)) == expected, options


async def test_djsites_namespace_is_taken_as_it_is(campaign):
    args = Namespace(**VERDI)
    rows = await campaign.queries.get_bands_and_parents_structure(**vars(args))
    assert [row.pk for row in rows] == [16, 15, 14, 13, 11]
    args = Namespace(**{**VERDI, "element": ("Si",), "group_pk": [1], "all_users": True})
    rows = await campaign.queries.get_bands_and_parents_structure(**vars(args))
    assert [row.as_strings()[:2] for row in rows] == [["13", "O2Si"], ["12", "Si2"], ["11", "Si2"]]
    with pytest.raises(TypeError, match="vseparator"):
        await campaign.queries.get_bands_and_parents_structure(**VERDI, vseparator="\t")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formulamode": "hills"}, "hill_compact"),
        ({"formulamode": None}, "hill_compact"),
        ({"element": 14}, "element must be"),
        ({"element_only": [14]}, "14 is not the symbol"),
        ({"past_days": -1}, "0 or more"),
        ({"group_pk": ["1"]}, "pk"),
        ({"group_name": [1]}, "label"),
        ({"link_types": "create"}, "a collection, such as"),
        ({"link_types": ["created"]}, "no link type 'created'"),
    ],
    ids=repr,
)
async def test_what_cannot_be_meant_is_refused(bare_dsn, options, message):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.get_bands_and_parents_structure(all_users=True, **options)


async def test_a_missing_default_user_is_told_with_what_to_do(bare_dsn):
    for name, email, message in [
        (None, None, "no default user: pass all_users=True, or open with Profile.from_dsn.dsn, de"),
        ("main", None, "^profile 'main' has no default user: pass all_users=True, or give the pr"),
        (None, "who@epfl.ch", "who@epfl.ch.*not in.*: pass all_users=True, or .* another default"),
    ]:
        profile = aiidadb.Profile.from_dsn(bare_dsn, name=name, default_user_email=email)
        async with aiidadb.open_backend(profile) as backend:
            with pytest.raises(NotExistent, match=message):
                await backend.queries.get_bands_and_parents_structure()
            assert await backend.queries.get_bands_and_parents_structure(all_users=True) == []


async def test_it_takes_part_in_a_transaction(opened):
    with pytest.raises(KeyError):
        async with opened.transaction():
            await fill(opened, [bands(1)])
            assert await formulas(opened) == {1: "<<NOT FOUND>>"}
            raise KeyError
    assert await formulas(opened) == {}


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_change_between_the_questions_is_not_seen_by_halves(
    opened, head_dsn, in_transaction
):
    nodes = [Node(1, STRUCTURE, attributes=species("Si")), bands(2, label="of silicon")]
    await fill(opened, nodes, [(1, 2, "create")])
    change = """
        update db_dbnode set label = 'of germanium' where id = 2;
        update db_dbnode
        set attributes = replace(attributes::text, '"Si"', '"Ge"')::jsonb
        where id = 1
        """
    async with opened.transaction() if in_transaction else contextlib.nullcontext():
        if in_transaction:  # the caller's own shows what its isolation shows
            await opened._session.execute("set transaction isolation level repeatable read")
        async with change_after_first_question(head_dsn, change):
            (row,) = await opened.queries.get_bands_and_parents_structure()
    assert (row.label, row.formula) == ("of silicon", "Si")
    (row,) = await opened.queries.get_bands_and_parents_structure()
    assert (row.label, row.formula) == ("of germanium", "Ge")


async def test_thousands_are_listed_in_batches(opened, monkeypatch):
    monkeypatch.setattr("aiidadb.queries.species.CHUNK_SIZE", 7)
    monkeypatch.setattr("aiidadb.queries.parents.CHUNK_SIZE", 10)
    await fill(
        opened,
        [
            *(
                Node(pk, STRUCTURE, attributes=species(*["Si"] * (pk % 3 + 1)))
                for pk in range(1, 50)
            ),
            *(bands(pk) for pk in range(101, 200)),
        ],
        [(pk % 49 + 1, pk, "create") for pk in range(101, 200)],
    )
    assert await formulas(opened) == {
        pk: ("Si", "Si2", "Si3")[(pk % 49 + 1) % 3] for pk in range(101, 200)
    }


# ---------------------------------------------------------------- how the server runs it


async def test_only_what_a_formula_needs_leaves_the_server_by_the_primary_key(head_dsn):
    connection = await asyncpg.connect(head_dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await write_users(connection)
    content = species(*["Si"] * 50)
    nodes = (Node(pk, STRUCTURE, attributes=content) for pk in range(1, 3001))
    await write_nodes(connection, nodes, line="main" if is_main else "django")
    await connection.execute("vacuum analyze")
    statement = await connection.prepare(QUERIES["structure_species"].text)
    pks = random.Random(0).sample(range(1, 3001), 200)
    plan = json.dumps(await statement.explain(pks))
    assert '"Seq Scan"' not in plan
    assert '"Index Cond": "(id = asked.pk)"' in plan.replace("db_dbnode.", "")
    rows = await statement.fetch(pks)
    assert len(rows) == 200
    assert json.loads(rows[0]["kinds"]) == [{"name": "Si", "symbols": ["Si"], "weights": [1.0]}]
    assert json.loads(rows[0]["kind_names"]) == ["Si"] * 50
    await connection.close()


async def test_no_statement_of_the_listing_reads_a_table_whole(profile, head_dsn, monkeypatch):
    sent = []
    fetch = asyncpg.Connection.fetch

    async def spy(connection, query, *arguments, **options):
        sent.append((query, arguments))
        return await fetch(connection, query, *arguments, **options)

    async with aiidadb.open_backend(profile) as backend:
        await write_users(backend._session, "ada@epfl.ch")
        kinds = {0: STRUCTURE, 50: BANDS}
        nodes = [
            Node(pk, kinds.get(pk % 100, INT), attributes=species("Si")) for pk in range(1, 20_001)
        ]
        links = [(pk - 50, pk, "create") for pk in range(150, 20_001, 100)]
        # So many that to read the whole table would be a mistake.
        links += [(pk - 1, pk, "create") for pk in range(2, 20_001) if pk % 100 != 50]
        await fill(backend, nodes, links)
        await backend._session.execute("vacuum analyze")
        monkeypatch.setattr(asyncpg.Connection, "fetch", spy)
        for _ in range(7):  # after the fifth time the server may plan without the values
            rows = await backend.queries.get_bands_and_parents_structure(past_days=10**4)
        assert len(rows) == 200
    statements = {query: arguments for query, arguments in sent if "db_dbnode" in query}
    assert len(statements) >= 2
    connection = await asyncpg.connect(head_dsn)
    for query, arguments in statements.items():
        plan = await (await connection.prepare(query)).explain(*arguments)
        assert "Seq Scan" not in str(plan), query
    await connection.close()


# ---------------------------------------------------------------- against aiida-core


async def test_it_is_what_aiida_core_lists(aiida_backend, aiida_dsn):
    from aiida.orm.nodes.data.array.bands import get_bands_and_parents_structure as peer

    groups = _aiida_campaign(aiida_backend)
    asked = [
        {},
        {"all_users": True},
        *({"formulamode": mode, "all_users": True} for mode in FORMULA_MODES),
        {"element": ("Si",)},
        {"element": ["O", "Fe"], "all_users": True},
        {"element_only": ["Ba", "O"], "formulamode": "group"},
        {"past_days": 30},
        {"past_days": 1, "all_users": True},
        {"group_pk": groups, "all_users": True},
        {"group_name": ["some"], "formulamode": "count"},
    ]
    profile = aiidadb.Profile.from_dsn(aiida_dsn, default_user_email="ada@epfl.ch")
    async with aiidadb.open_backend(profile) as backend:
        for options in asked:
            args = Namespace(**{**VERDI, **options})
            found = await backend.queries.get_bands_and_parents_structure(**vars(args))
            theirs = peer(args, backend=aiida_backend)
            # (aiida-core gives no order, and the empty formula as such.)
            assert sorted(row.as_strings() for row in found) == sorted(theirs), options
        assert len(found) == 3


async def test_bands_of_a_workflow_that_relaxes_are_of_the_relaxed_structure(
    aiida_backend, aiida_dsn
):
    """As aiida-core itself stores such a workflow."""
    used, made = _aiida_workflow(aiida_backend)
    profile = aiidadb.Profile.from_dsn(aiida_dsn, default_user_email="ada@epfl.ch")
    async with aiidadb.open_backend(profile) as backend:
        rows = await backend.queries.get_bands_and_parents_structure()
        (row,) = [row for row in rows if row.pk == made]
        assert (row.formula, row.structure_pk) == ("Si2", used)
        nearest = await backend.queries.get_bands_and_parents_structure(link_types=LINK_TYPES)
        assert [row.formula for row in nearest if row.pk == made] == ["Si8"]


def _aiida_workflow(storage):
    """One that relaxes eight atoms to two, and from their bands computes bands with a gap."""
    from aiida import orm
    from aiida.common.links import LinkType

    user = orm.User.get_collection(storage).get_default()
    options = {"backend": storage, "user": user}

    def structure(atoms):
        made = orm.StructureData(
            cell=[[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]], **options
        )
        for number in range(atoms):
            made.append_atom(position=(0.1 * number, 0.0, 0.0), symbols="Si")
        return made

    def compute(given, result):
        calculation = orm.CalcFunctionNode(**options)
        calculation.base.links.add_incoming(given, LinkType.INPUT_CALC, "given")
        calculation.base.links.add_incoming(workflow, LinkType.CALL_CALC, f"call_{id(result)}")
        calculation.store()
        result.base.links.add_incoming(calculation, LinkType.CREATE, "result")
        return result.store()

    asked = structure(8).store()
    workflow = orm.WorkChainNode(**options)
    workflow.base.links.add_incoming(asked, LinkType.INPUT_WORK, "structure")
    workflow.store()
    relaxed = compute(asked, structure(2))
    raw = compute(relaxed, orm.BandsData(**options))
    bands_with_gap = compute(raw, orm.BandsData(**options))
    for number, output in enumerate((relaxed, raw, bands_with_gap)):
        output.base.links.add_incoming(workflow, LinkType.RETURN, f"output_{number}")
    return relaxed.pk, bands_with_gap.pk


def _aiida_campaign(storage):
    """Bands of real structures, one above each, so that the oldest ancestor is the closest."""
    from aiida import orm
    from aiida.common.links import LinkType

    ada = orm.User.get_collection(storage).get_default()
    emmy = orm.User(email="emmy@example.org", backend=storage).store()
    cell = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]

    def structure(*symbols, weights=None):
        made = orm.StructureData(cell=cell, backend=storage, user=ada)
        for number, symbol in enumerate(symbols):
            options = {} if weights is None else {"weights": weights}
            made.append_atom(position=(0.1 * number, 0.0, 0.0), symbols=symbol, **options)
        return made.store()

    structures = [
        structure("Si", "Si"),
        structure("Ba", "Ti", "O", "O", "O", "Ba", "Ti", "O", "O", "O"),
        structure(("Fe", "Co"), weights=(0.5, 0.4)),
        structure("C", "H", "H", "O", "Na"),
        structure(("Ti",), weights=(0.9,)),
        None,
    ]
    made = []
    for number, parent in enumerate(structures):
        user = emmy if number == 3 else ada
        calculation = orm.CalculationNode(backend=storage, user=user)
        if parent is not None:
            calculation.base.links.add_incoming(parent, LinkType.INPUT_CALC, "structure")
        calculation.store()
        node = orm.BandsData(backend=storage, user=user)
        node.label = f"bands {number}"
        node.backend_entity.bare_model.ctime = datetime.datetime.now(
            datetime.UTC
        ) - datetime.timedelta(days=25 * number)
        node.base.links.add_incoming(calculation, LinkType.CREATE, "bands")
        made.append(node.store())
    some = orm.Group("some", backend=storage, user=ada).store()
    some.add_nodes(made[:3])
    other = orm.Group("other", backend=storage, user=ada).store()
    other.add_nodes(made[2:4])
    return [some.pk, other.pk]
