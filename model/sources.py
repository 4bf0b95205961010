"""Where the files of data sets come from: a local copy, else a download with checksum into a cache."""

from __future__ import annotations

import os
from pathlib import Path

import pooch

__all__ = ["DATA_VARIABLE", "FILES", "fetch"]

DATA_VARIABLE = "BITPROP_DATA"
"""Environment variable that names a folder with a local copy, laid out as the keys of `FILES`."""

_GITHUB = "https://raw.githubusercontent.com"
_FASHION = f"{_GITHUB}/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_UCR = (
    f"{_GITHUB}/iwuqing/Time-Series-Classification-based-on-KNN/6f961db51e2633ba46524913177c518bd03bb843/data"
)
_AEON = f"{_GITHUB}/aeon-toolkit/aeon/a101ddc8b35a/aeon/datasets/data"
_PENDIGITS = f"{_GITHUB}/LinusBleistein/Signature-inversion/8a093ca717a07e0918a6924e5f1c62db04098206/data"
_ARTICULARY = f"{_GITHUB}/zc911/MatrixSlow/0f5994d937fe/data"

FILES: dict[str, tuple[str, str | None]] = {
    f"{folder}/{name}": (md5, f"{base}/{name}")
    for folder, base, names in (
        (
            "fashion-mnist",
            _FASHION,
            {
                "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
        (
            "mnist",
            _MNIST,
            {
                "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
                "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
    )
    for name, md5 in names.items()
} | {
    f"ucr/{path}": (md5, base and f"{base}/{path}")
    for path, base, md5 in (
        (
            "ArticularyWordRecognition/ArticularyWordRecognition_TRAIN.ts",
            _ARTICULARY,
            "1e1ac46ddbdec567de40601957b2a8a8",
        ),
        (
            "ArticularyWordRecognition/ArticularyWordRecognition_TEST.ts",
            _ARTICULARY,
            "0a559bc59ec12ed786d4096ff6f17701",
        ),
        (
            "DistalPhalanxOutlineAgeGroup/DistalPhalanxOutlineAgeGroup_TRAIN.tsv",
            _UCR,
            "a89062b2f1d7a2aefd28ed79391ccb05",
        ),
        (
            "DistalPhalanxOutlineAgeGroup/DistalPhalanxOutlineAgeGroup_TEST.tsv",
            _UCR,
            "0c0530eedd8689838427deed5105f2b4",
        ),
        ("Earthquakes/Earthquakes_TRAIN.tsv", _UCR, "a2714c93f4e69decd5f960d9a2b3325f"),
        ("Earthquakes/Earthquakes_TEST.tsv", _UCR, "7192a30b391d8ee71beded73f1d6b657"),
        ("FreezerRegularTrain/FreezerRegularTrain_TRAIN.tsv", _UCR, "20f2a0a3df8a7ff378deb5169c5d8b93"),
        ("FreezerRegularTrain/FreezerRegularTrain_TEST.npy", None, "41985f1a9063a32fb1d20679d62557b0"),
        ("GunPointAgeSpan/GunPointAgeSpan_TRAIN.tsv", _UCR, "cc7c83b8fa57b7d3186c207493932e81"),
        ("GunPointAgeSpan/GunPointAgeSpan_TEST.tsv", _UCR, "e6320ff9e4224a979f3b4bf2e850bd74"),
        ("GunPointOldVersusYoung/GunPointOldVersusYoung_TRAIN.tsv", _UCR, "57e8418554cc6de294037e798f1fc54c"),
        ("GunPointOldVersusYoung/GunPointOldVersusYoung_TEST.tsv", _UCR, "0d1ee89817c3268172c5336337b71c0b"),
        ("InsectEPGRegularTrain/InsectEPGRegularTrain_TRAIN.tsv", _UCR, "2baba74892469425fa281983993b71ed"),
        ("InsectEPGRegularTrain/InsectEPGRegularTrain_TEST.tsv", _UCR, "98f464a846b0f3466a3ec4654ccf7c0d"),
        ("ItalyPowerDemand/ItalyPowerDemand_TRAIN.tsv", _UCR, "de993e5a0b3823a88625585332c42053"),
        ("ItalyPowerDemand/ItalyPowerDemand_TEST.tsv", _UCR, "c92240144182bdf996673a50ace06828"),
        ("JapaneseVowels/JapaneseVowels_TRAIN.ts", _AEON, "9165e3eec783ac6342d658685c864d19"),
        ("JapaneseVowels/JapaneseVowels_TEST.ts", _AEON, "14d15214e3ab6ac39ab2d48901d3e2a3"),
        ("JapaneseVowels/JapaneseVowels_eq_TRAIN.ts", _AEON, "c23441f38d4718acc7eb46b6dcbfcb7b"),
        ("JapaneseVowels/JapaneseVowels_eq_TEST.ts", _AEON, "14365bc714a684082783d27173662cfc"),
        ("MelbournePedestrian/MelbournePedestrian_TRAIN.tsv", _UCR, "a31cae71ba8c29df38d1e858fda1d973"),
        ("MelbournePedestrian/MelbournePedestrian_TEST.tsv", _UCR, "397bdbc318a7c70384ba21631cc0b528"),
        ("PenDigits/PenDigits_TRAIN.arff", _PENDIGITS, "13ce30083cc79ffa8cc864ce573e14fc"),
        ("PenDigits/PenDigits_TEST.arff", _PENDIGITS, "4e35ee8f374833d8bb84f19f4cbb58e1"),
        (
            "ProximalPhalanxOutlineAgeGroup/ProximalPhalanxOutlineAgeGroup_TRAIN.tsv",
            _UCR,
            "18eb3896ce08aca8c9bb44799c6a5871",
        ),
        (
            "ProximalPhalanxOutlineAgeGroup/ProximalPhalanxOutlineAgeGroup_TEST.tsv",
            _UCR,
            "1e431cc7ef0ebdc776cdfdd3ba4d3f42",
        ),
        (
            "ProximalPhalanxOutlineCorrect/ProximalPhalanxOutlineCorrect_TRAIN.tsv",
            _UCR,
            "90dbdac01ea37ffbbf9f53b3331b059d",
        ),
        (
            "ProximalPhalanxOutlineCorrect/ProximalPhalanxOutlineCorrect_TEST.tsv",
            _UCR,
            "f9dc12bfb2c532a47ae0d16dc7bd8644",
        ),
        ("SonyAIBORobotSurface1/SonyAIBORobotSurface1_TRAIN.tsv", _UCR, "6fe2e619665ff45a651fad8b5a683bed"),
        ("SonyAIBORobotSurface1/SonyAIBORobotSurface1_TEST.tsv", _UCR, "e73b68c9eee6261400c9d60a216355ae"),
    )
}
"""`path: (md5, address)` of every known file; an address of None means that only a local copy will do."""


def fetch(path: str, data_dir: str | os.PathLike | None = None) -> Path:
    """The local file of one of `FILES`, its checksum verified.

    Looked for in `data_dir`, else in the folder that `BITPROP_DATA` names; when neither is given it is
    downloaded once, with a progress bar, into the user's cache folder.

    Raises
    ------
    FileNotFoundError
        Not in the folder given, or it can not be downloaded; the message says what to do.
    ValueError
        The file is there but is not the known one.
    """
    md5, address = FILES[path]
    folder = data_dir or os.environ.get(DATA_VARIABLE)
    if folder:
        file = Path(folder) / path
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is missing: the data folder (--data-dir or {DATA_VARIABLE}) must hold {path}. "
                + (f"Its source is {address}" if address else "It has no public address.")
            )
        found = pooch.file_hash(str(file), alg="md5")
        if found != md5:
            raise ValueError(f"{file} is not the known file: its md5 is {found}, expected {md5}")
        return file
    if address is None:
        raise FileNotFoundError(
            f"{path} has no public address: name a folder that holds it by --data-dir or {DATA_VARIABLE}"
        )
    cache = pooch.os_cache("bitprop")
    try:
        pooch.retrieve(
            address,
            f"md5:{md5}",
            fname=path,
            path=cache,
            downloader=pooch.HTTPDownloader(progressbar=_Bar(path)),
        )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{path} could not be downloaded from {address} ({error}). Without a connection, name a "
            f"folder that holds it by --data-dir or {DATA_VARIABLE}"
        ) from error
    return Path(cache) / path


class _Bar:
    """The progress bar that pooch drives, drawn by rich."""

    def __init__(self, title: str):
        from rich.progress import Progress

        self._progress = Progress()
        self._task = self._progress.add_task(title)
        self._started = False

    @property
    def total(self):
        """Bytes expected."""
        return self._progress.tasks[0].total

    @total.setter
    def total(self, size):
        self._progress.update(self._task, total=size)

    def update(self, size):
        """So many bytes more have come."""
        if not self._started:
            self._progress.start()
            self._started = True
        self._progress.advance(self._task, size)

    def reset(self):
        """Start again from 0; pooch calls this before it sets the bar to the end."""
        self._progress.reset(self._task, start=self._started)

    def close(self):
        """The download has ended."""
        self._progress.stop()
