"""Embedders of people (to find similar prototypes) and of sentences (to find duplicate rules), one protocol for each.

    case embedders   a person -> a vector. `pose` is built in; CLIP and SigLIP come through open_clip or
                     transformers, if they are installed, and any served model through an embeddings endpoint
    text embedders   sentences -> vectors of length 1. `ngrams` is built in; sentence_transformers, an endpoint

The defaults need no download. Optional packages are imported only when they are used.

To add one: a class or function here, and a line in `case_embedder` or `text_embedder`.
"""

import base64
import importlib
import io
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from critique.memory.rules import TextEmbedder
from storage.records import Person


class EmbedderError(ValueError):
    """An embedder that cannot be used; the message says which one and how to fix it."""


@runtime_checkable
class CaseEmbedder(Protocol):
    """Maps a person to a vector: people in similar poses and views are close to each other."""

    @property
    def name(self) -> str:
        """Name and version; stored with each prototype, because vectors of two embedders cannot be compared."""
        ...

    def __call__(self, person: Person) -> NDArray[np.floating]:
        """A vector (d,) of length 1, or of zeros where nothing is seen."""
        ...


# --- cases ------------------------------------------------------------------------------------------------

# Segments between BlazePose landmarks; several landmarks stand for their middle.
_SEGMENTS = (
    ((12,), (11,)), ((24,), (23,)), ((23, 24), (11, 12)), ((11, 12), (0,)), ((7, 8), (0,)),
    ((11,), (13,)), ((12,), (14,)), ((13,), (15,)), ((14,), (16,)),
    ((23,), (25,)), ((24,), (26,)), ((25,), (27,)), ((26,), (28,)), ((29,), (31,)), ((30,), (32,)),
)  # fmt: skip


@dataclass(frozen=True)
class PoseEmbedder:
    """Directions of the body's segments as the detector sees them, each weighted by its visibility.

    The cosine of two people is then the weighted mean cosine between their segments: 1 for the same pose from the same
    side, whatever the clothes, the scene and the size.
    """

    name: str = "pose@1"

    def __call__(self, person: Person) -> NDArray[np.float64]:
        """(45,) unit vector: 15 segments x 3, from world landmarks."""
        points = np.nan_to_num(person.world_landmarks.astype(np.float64))
        seen = np.clip(np.nan_to_num(person.landmarks[:, 3].astype(np.float64)), 0, 1)
        lines = np.array([points[list(end)].mean(0) - points[list(start)].mean(0) for start, end in _SEGMENTS])
        weights = np.array([seen[[*start, *end]].min() for start, end in _SEGMENTS])
        return _unit((_unit(lines) * np.sqrt(weights)[:, None]).ravel())


@dataclass(frozen=True)
class OpenClipEmbedder:
    """An image encoder of open_clip on the person's crop; `weights` is a file or a tag of that package."""

    model: str
    weights: str

    @property
    def name(self) -> str:
        """ "open_clip:", model and file name of the weights."""
        return f"open_clip:{self.model}:{os.path.basename(self.weights)}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        open_clip = _package("open_clip", "open_clip_torch")
        model, _, transform = open_clip.create_model_and_transforms(self.model, pretrained=self.weights)
        return model.eval(), transform

    def __call__(self, person: Person) -> NDArray[np.float64]:
        """(d,) unit vector of the person's crop. Raises EmbedderError if open_clip is not installed."""
        import torch

        model, transform = self._loaded
        with torch.no_grad():
            return _unit(model.encode_image(transform(Image.fromarray(person.picture))[None])[0].double().numpy())


@dataclass(frozen=True)
class TransformersEmbedder:
    """A CLIP or SigLIP model of transformers on the person's crop; `model` is a folder or a name of that package."""

    model: str

    @property
    def name(self) -> str:
        """ "transformers:" and the last part of the model's path."""
        return f"transformers:{os.path.basename(self.model.rstrip('/'))}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        transformers = _package("transformers", "transformers")
        return (
            transformers.AutoModel.from_pretrained(self.model).eval(),
            transformers.AutoImageProcessor.from_pretrained(self.model),
        )

    def __call__(self, person: Person) -> NDArray[np.float64]:
        """(d,) unit vector of the person's crop. Raises EmbedderError if transformers is not installed."""
        import torch

        model, process = self._loaded
        with torch.no_grad():
            found = model.get_image_features(**process(images=Image.fromarray(person.picture), return_tensors="pt"))
        features = getattr(found, "pooler_output", found)  # newer versions wrap the tensor
        return _unit(features[0].double().numpy())


@dataclass(frozen=True)
class EmbeddingEndpoint:
    """An OpenAI-compatible embeddings endpoint. Pictures and texts go to this address and nowhere else."""

    model: str
    base_url: str
    key_variable: str = "OPENAI_API_KEY"
    seconds: float = 60.0

    @property
    def name(self) -> str:
        """ "endpoint:" and the model's name."""
        return f"endpoint:{self.model}"

    def __call__(self, person: Person) -> NDArray[np.float64]:
        """(d,) unit vector of the picture, which is sent as a chat message, as servers of image embedders expect it.

        Raises EmbedderError if there is no key, the server does not answer, or the answer holds no embeddings.
        """
        buffer = io.BytesIO()
        Image.fromarray(person.picture).save(buffer, "jpeg", quality=90)
        url = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        content = [{"type": "image_url", "image_url": {"url": url}}]
        return self._ask({"messages": [{"role": "user", "content": content}]}, 1)[0]

    def texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(texts, d) unit vectors of sentences. Raises EmbedderError as for a picture."""
        return self._ask({"input": list(texts)}, len(texts))

    def _ask(self, question: dict[str, Any], count: int) -> NDArray[np.float64]:
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise EmbedderError(
                f"no key for the embeddings endpoint: set {self.key_variable} (to any word if it needs none)"
            )
        import openai  # here: half a second that most commands, which ask no server, can spare

        client = openai.OpenAI(
            api_key=key,
            base_url=self.base_url,
            timeout=self.seconds,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )
        with client:
            try:
                body = {"model": self.model, "encoding_format": "float", **question}
                answer: Any = client.post("/embeddings", cast_to=object, body=body)
            except openai.APIError as error:
                status = getattr(error, "status_code", None)
                raise EmbedderError(
                    f"the embeddings endpoint {self.base_url} does not answer ({status or type(error).__name__}); "
                    f"check the address and the model '{self.model}', or choose another embedder"
                ) from None
        try:
            rows = sorted(answer["data"], key=lambda row: row.get("index", 0))
            vectors = np.array([row["embedding"] for row in rows], np.float64)
            if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
                raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError):
            raise EmbedderError(
                f"the answer of {self.base_url} holds no embeddings; is '{self.model}' a model of embeddings?"
            ) from None
        return _unit(vectors)


# --- texts ------------------------------------------------------------------------------------------------

SIZE = 2048  # numbers of an n-gram vector
_NUMBER = re.compile(r"\d+")


def ngrams(texts: Sequence[str]) -> NDArray[np.float64]:
    """(texts, SIZE) unit vectors: hashed counts of words and of character runs of 3 to 5 letters.

    Needs no download. Near-copies have a cosine above 0.9; two sentences with the same meaning in other words do not.
    All numbers count as equal: "take 5 off" and "take 8 off" are one rule. A hashed sign for each entry keeps hash
    collisions from adding up. Source: feature hashing (Weinberger et al. 2009).
    """
    vectors = np.zeros((len(texts), SIZE))
    for row, text in enumerate(texts):
        words = re.findall(r"\w+", _NUMBER.sub("0", text.lower()))
        line = f" {' '.join(words)} "
        runs = [line[at : at + size] for size in (3, 4, 5) for at in range(len(line) - size + 1)]
        for piece in (*words, *runs):
            code = zlib.crc32(piece.encode())
            vectors[row, code % SIZE] += 1.0 if code & 0x80000000 else -1.0
    return _unit(vectors)


def _sentence_transformers(model: str) -> TextEmbedder:
    loaded = _package("sentence_transformers", "sentence-transformers").SentenceTransformer(model)
    return lambda texts: _unit(np.asarray(loaded.encode(list(texts)), np.float64))


# --- choice -----------------------------------------------------------------------------------------------


def case_embedder(choice: str, base_url: str | None = None, key_variable: str = "OPENAI_API_KEY") -> CaseEmbedder:
    """The case embedder with that name: pose, open_clip:MODEL:WEIGHTS, transformers:MODEL or endpoint:MODEL.

    The names that embedders store with their prototypes are accepted too. No model is loaded yet. Raises EmbedderError
    for an unknown name, and for an endpoint without `base_url`.
    """
    kind, _, rest = choice.partition(":")
    if choice in ("pose", PoseEmbedder.name):
        return PoseEmbedder()
    if kind == "open_clip" and ":" in rest:
        return OpenClipEmbedder(*rest.split(":", 1))
    if kind == "transformers" and rest:
        return TransformersEmbedder(rest)
    if kind == "endpoint" and rest:
        return _endpoint(rest, base_url, key_variable)
    raise EmbedderError(
        f"there is no case embedder '{choice}'; there are pose, open_clip:MODEL:WEIGHTS, transformers:MODEL and "
        "endpoint:MODEL"
    )


def text_embedder(choice: str, base_url: str | None = None, key_variable: str = "OPENAI_API_KEY") -> TextEmbedder:
    """The text embedder with that name: ngrams, sentence_transformers:MODEL or endpoint:MODEL.

    Raises EmbedderError for an unknown name, a package that is not installed, or an endpoint without `base_url`.
    """
    kind, _, rest = choice.partition(":")
    if choice == "ngrams":
        return ngrams
    if kind == "sentence_transformers" and rest:
        return _sentence_transformers(rest)
    if kind == "endpoint" and rest:
        return _endpoint(rest, base_url, key_variable).texts
    raise EmbedderError(
        f"there is no text embedder '{choice}'; there are ngrams, sentence_transformers:MODEL and endpoint:MODEL"
    )


def _endpoint(model: str, base_url: str | None, key_variable: str) -> EmbeddingEndpoint:
    if base_url is None:
        raise EmbedderError(
            f"no address for the embedder endpoint:{model}: nothing is sent to a server that you have not named"
        )
    return EmbeddingEndpoint(model, base_url, key_variable)


def _package(name: str, distribution: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EmbedderError(
            f"this embedder needs the package {distribution}, which is not installed ({error}): "
            f"pip install {distribution}, or choose the embedded one"
        ) from error


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row (or the one vector) at length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
