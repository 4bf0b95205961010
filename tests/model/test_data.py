import gzip
import hashlib

import numpy as np
import pytest
from bitprop.model import data, sources
from bitprop.model.data import digits, encode_labels, load_dataset, random_prototypes, read_idx
from bitprop.model.series import Series, read_series
from sklearn.datasets import load_digits


def test_digits_parts_are_disjoint_and_complete():
    dataset = digits()
    parts = (dataset.train, dataset.validation, dataset.test)
    assert sum(len(part) for part in parts) == 1797
    assert dataset.width == 256 and len(dataset.classes) == 10
    seen = np.concatenate([part.inputs for part in parts])
    whole = np.stack([load_digits().data >= level for level in (1, 4, 9, 14)], axis=2).reshape(1797, 256)
    assert sorted(map(bytes, np.packbits(seen > 0, axis=1))) == sorted(map(bytes, np.packbits(whole, axis=1)))
    for part in parts:
        assert np.bincount(part.labels).min() >= 0.09 * len(part)


def test_random_prototypes_draw():
    dataset = random_prototypes(0.3, train=60, validation=20, test=20, width=50, classes=5, seed=42)
    rng = np.random.default_rng(42)
    prototypes = rng.choice([-1, 1], size=(5, 50))
    expected = {
        bytes((prototypes[c] * np.where(rng.random(50) < 0.3, -1, 1)).astype(np.int8))
        for c in range(5)
        for _ in range(20)
    }
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) for part in parts] == [60, 20, 20]
    assert {bytes(row) for part in parts for row in part.inputs} == expected
    with pytest.raises(ValueError, match="multiple of classes"):
        random_prototypes(train=1)


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


TS = "#c\n@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"


def test_ts_of_unequal_length(tmp_path):
    series = read_series(write(tmp_path, "x.ts", TS + "1,2,3:4,5,6:a\n\n7:8:b\n"))
    assert [values.tolist() for values in series.values] == [[[1, 4], [2, 5], [3, 6]], [[7, 8]]]
    assert series.labels == ["a", "b"] and series.lines == [6, 8]
    assert series.last(2).tolist() == [[[2, 5], [3, 6]], [[7, 8], [7, 8]]]


def test_tsv_arff_and_npy_agree(tmp_path):
    tsv = read_series(write(tmp_path, "x.tsv", "1\t0.5\t2\n2.0\t3\t4\n"))
    arff = "@relation r\n@attribute t numeric\n@attribute class {1,2}\n@data\n"
    arff = read_series(write(tmp_path, "x.arff", arff + "0.5,2,1\n3,4,2\n"))
    np.save(tmp_path / "x.npy", [[1, 0.5, 2], [2, 3, 4]])
    npy = read_series(tmp_path / "x.npy")
    for series in (tsv, arff, npy):
        assert np.array_equal(series.last(2), [[[0.5], [2]], [[3], [4]]]) and series.labels == ["1", "2"]


def test_multivariate_arff(tmp_path):
    text = "@relation r\n@attribute class {7}\n@data\n'1,2\\n3,4',7\n"
    assert read_series(write(tmp_path, "x.arff", text)).values[0].tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("x.ts", TS + "1,2:a\n1,x:b\n", r"x\.ts, line 7: could not convert string to float: 'x'"),
        ("x.ts", TS + "1,?:a\n", r"x\.ts, line 6: step 2 is missing or not finite"),
        ("x.ts", TS + "1,2:c\n", r"line 6: unknown label 'c'; the header lists a, b"),
        ("x.ts", TS + "1,2:3:a\n", "line 6: dimensions must be equally long"),
        ("x.ts", TS + "1:a\n1:2:b\n", "line 7: 2 dimensions, the series before had 1"),
        ("x.ts", TS + "1,2\n", "line 6: expected values, a colon and a label"),
        ("x.ts", "1,2:a\n", "line 1: expected a header line"),
        ("x.ts", "@timestamps true\n", "line 1: series with time stamps"),
        ("x.ts", TS, "no series in it"),
        ("x.tsv", "1\n", "line 1: expected a label and values"),
        ("x.tsv", "1\t2\n1\tNaN\n", "line 2: step 1 is missing or not finite"),
        ("x.arff", "@data\n3\n", "line 2: expected values, a comma and a label"),
        ("x.csv", "1,2\n", "must end in one of"),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_series(write(tmp_path, name, text))


def test_labels_in_order_of_value_and_unknown_ones_refused():
    def series(*labels):
        return Series([np.zeros((1, 1))] * len(labels), list(labels), list(range(1, 1 + len(labels))))

    classes, (train, test) = encode_labels(series("10", "2", "1"), series("2", "10"))
    assert classes == ("1", "2", "10") and train.tolist() == [2, 1, 0] and test.tolist() == [1, 2]
    with pytest.raises(ValueError, match="line 2: label '3' does not occur in the training part"):
        encode_labels(series("1", "2"), series("1", "3"))


def test_idx(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)])))
    assert read_idx(path, 2).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="with 1 dimensions"):
        read_idx(path, 1)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])))
    with pytest.raises(ValueError, match=r"says \(9,\), but 1 bytes follow"):
        read_idx(path, 1)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a whole gzip file"):
        read_idx(path, 1)


def test_images_row_by_row(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    for part, count in (("train", 60), ("t10k", 20)):
        pixels, labels = rng.integers(0, 2, (count, 784), np.uint8), np.arange(count, dtype=np.uint8) % 10
        head = bytes([0, 0, 8, 3]) + np.array([count, 28, 28], ">u4").tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
        head = bytes([0, 0, 8, 1]) + np.array([count], ">u4").tobytes()
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))
    monkeypatch.setattr(data, "fetch", lambda path, data_dir: tmp_path / path.split("/")[1])
    plain = data.images("mnist", validation=20)
    rows = data.images("mnist", validation=20, steps=28, width=12)
    assert [len(part) for part in (rows.train, rows.validation, rows.test)] == [40, 20, 20] and rows.width == 28 * 12
    code = plain.validation.inputs.reshape(20, 28, 28)
    assert np.array_equal(rows.validation.inputs, data.expand(code, 12))
    # Equal rows have equal codes, wherever they stand.
    backwards = data.expand(code[:, ::-1], 12).reshape(20, 28, 12)
    assert np.array_equal(backwards[:, ::-1].reshape(20, -1), rows.validation.inputs)
    with pytest.raises(ValueError, match="steps must divide the 784 bits of an image, not 5"):
        data.images("mnist", validation=20, steps=5, width=12)


def test_local_copy_is_checked(tmp_path, monkeypatch):
    content = b"1\t1\t2\n2\t3\t4\n"
    path = "ucr/X/X_TRAIN.tsv"
    monkeypatch.setitem(sources.FILES, path, (hashlib.md5(content).hexdigest(), None))
    monkeypatch.delenv(sources.DATA_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match="no public address: name a folder"):
        sources.fetch(path)
    with pytest.raises(FileNotFoundError, match=f"{path} is missing: the data folder"):
        sources.fetch(path, tmp_path)
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert sources.fetch(path, tmp_path) == file
    monkeypatch.setenv(sources.DATA_VARIABLE, str(tmp_path))
    assert sources.fetch(path) == file
    file.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="is not the known file: its md5 is"):
        sources.fetch(path)


def test_failed_download_says_what_to_do(tmp_path, monkeypatch):
    path = "ucr/X/X_TRAIN.tsv"
    monkeypatch.setitem(sources.FILES, path, ("0" * 32, "http://127.0.0.1:9/X_TRAIN.tsv"))
    monkeypatch.delenv(sources.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(sources.pooch, "os_cache", lambda project: tmp_path / project)
    with pytest.raises(FileNotFoundError, match="could not be downloaded .* --data-dir or BITPROP_DATA"):
        sources.fetch(path)


def test_archive_for_a_feed_forward_network(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for part, count in (("TRAIN", 30), ("TEST", 10)):
        rows = ["\t".join(map(str, [1 + n % 3, *rng.normal(size=6)])) for n in range(count)]
        path = f"ucr/X/X_{part}.tsv"
        (tmp_path / "ucr/X").mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("\n".join(rows))
        monkeypatch.setitem(sources.FILES, path, (sources.pooch.file_hash(str(tmp_path / path), "md5"), None))
    monkeypatch.setattr(data, "ARCHIVE", ("X",))
    dataset = data.archive("X", tmp_path, window=4, bits=2)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [24, 6, 10]
    assert dataset.width == 8 and dataset.classes == ("1", "2", "3")


def test_inputs_stand_so_many_times_in_a_row():
    once, twice = load_dataset("digits"), load_dataset("digits", copies=2)
    assert twice.width == 512
    assert np.array_equal(twice.test.inputs[:, ::2], once.test.inputs)
    assert np.array_equal(twice.test.inputs[:, 1::2], once.test.inputs)
    with pytest.raises(ValueError, match="copies must be at least 1, not 0"):
        load_dataset("digits", copies=0)


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown data set 'x'; known are digits"):
        load_dataset("x")
