import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.rows import content_digest, rows_of_groups, rows_of_people, rows_of_verdicts, verdicts_of_rows
from storage.schema import HYPS, PEOPLE, SCORES, TABLES, StoreError, decode, encode, shape_of
from tests.factories import make_group, make_person, make_reply, make_verdict, same


@pytest.fixture
def group():
    return make_group(np.random.default_rng(3))


def test_every_column_says_what_it_is():
    for schema in TABLES.values():
        for field in schema:
            assert field.metadata[b"about"], field.name
            if shape_of(field):
                assert field.metadata[b"unit"], field.name
    assert HYPS.field("joints").metadata[b"unit"] == b"m" and shape_of(HYPS.field("joints")) == (29, 3)
    nullable = [field.name for schema in TABLES.values() for field in schema if field.nullable]
    assert nullable == [
        *["second_look", "labels"] * 2,
        "made_by",
        "shape",
        "mesh",
        "score",
        "uncertainty",
        "rules",
        "order",
    ]


def test_files_are_encoded_as_measured_best(group):
    content = encode(rows_of_groups([group])["hyps"]).content
    file = pq.ParquetFile(pa.BufferReader(content))
    chunks = {chunk["path_in_schema"]: chunk for chunk in file.metadata.row_group(0).to_dict()["columns"]}
    assert {chunk["compression"] for chunk in chunks.values()} == {"ZSTD"}
    for name in ("latents", "pose", "translation", "joints", "keypoints"):
        encodings = chunks[f"{name}.list.element"]["encodings"]
        assert "BYTE_STREAM_SPLIT" in encodings and "RLE_DICTIONARY" not in encodings
    assert file.schema_arrow.field("latents").metadata[b"unit"] == b"data scale 50"
    assert pa.types.is_fixed_size_list(file.schema_arrow.field("latents").type)


def test_equal_tables_are_equal_files(group):
    first, second = (encode(rows_of_groups([group])["hyps"]) for _ in range(2))
    assert first == second


def test_another_schema_version_is_refused(group):
    table = rows_of_people([group.person])["people"].replace_schema_metadata({"hmr-align.schema": "2"})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    with pytest.raises(StoreError, match="x: written with schema version 2, this program reads version 1"):
        decode(sink.getvalue().to_pybytes(), PEOPLE, "x")


def test_a_foreign_file_is_refused():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(StoreError, match="x: written with schema version none"):
        decode(sink.getvalue().to_pybytes(), PEOPLE, "x")
    with pytest.raises(StoreError, match="x: this is no Parquet file"):
        decode(b"PAR1", PEOPLE, "x")


def test_an_old_reader_passes_over_a_new_column(group):
    verdict = make_verdict(group)
    tables = rows_of_verdicts([verdict])
    newer = tables["scores"].append_column(
        pa.field("confidence", pa.float64(), metadata={"about": "of a later version"}), [[0.5] * 4]
    )
    read = decode(encode(newer).content, SCORES, "x")
    assert read.schema.names == SCORES.names
    assert same(verdicts_of_rows(read, tables["replies"], verdict.critic), [verdict])


def test_a_new_reader_takes_null_for_a_column_that_an_old_file_lacks(group):
    scores = rows_of_verdicts([make_verdict(group)])["scores"]
    newer = SCORES.append(pa.field("confidence", pa.float64(), metadata={"about": "of a later version"}))
    read = decode(encode(scores).content, newer, "x")
    assert read["confidence"].to_pylist() == [None] * 4
    assert content_digest({"scores": read}) == content_digest({"scores": scores})


def test_verdicts_from_before_uncertainty_and_order_still_read(group):
    written = make_verdict(group, replies=(make_reply(),))
    tables = rows_of_verdicts([written])
    older = {
        "scores": tables["scores"].drop_columns(["uncertainty"]),
        "replies": tables["replies"].drop_columns(["order"]),
    }
    read = {name: decode(encode(table).content, TABLES[name], name) for name, table in older.items()}
    assert same(verdicts_of_rows(**read, critic=written.critic), [written])
    assert content_digest(read) == content_digest(tables)  # and writing such a shard again is no conflict


def test_a_lacking_column_is_said():
    people = rows_of_people([make_person(np.random.default_rng(0))])["people"]
    with pytest.raises(StoreError, match="x: lacks the columns crop, mask"):
        decode(encode(people.drop_columns(["crop", "mask"])).content, PEOPLE, "x")
