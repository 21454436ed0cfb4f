"""SMPLify-X results as predictions: see storage/sources/formats/smplifyx_pkl.py for the layout."""

from pathlib import Path

from storage.predictions.predicted import Predicted
from storage.sources.adapter import Choice
from storage.sources.formats.smplifyx_pkl import body_columns, read_result, result_files


def read(path: Path) -> list[Predicted]:
    """One result, or the folder `results`.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = []
    for file in result_files(path):
        body = body_columns(file, read_result(file), Choice())
        image = file.parent.name if path.is_dir() else file.stem
        found.append(Predicted(
            "smplify-x", str(file), image, file.stem, "smplx", body["global_orient"], body["body_pose"],
            body["betas"][:, :10], body["transl"],
        ))  # fmt: skip
    return found
