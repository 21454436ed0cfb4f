"""Embedders: like poses lie near each other, near-copies of sentences too; foreign packages only when asked for."""

import json
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from critique.memory.embedders import (
    CaseEmbedder,
    EmbedderError,
    OpenClipEmbedder,
    PoseEmbedder,
    TransformersEmbedder,
    case_embedder,
    ngrams,
    text_embedder,
)
from tests.evidence_scene import TRUE_POSE, bent, person_in
from tests.factories import make_person

EMBED = PoseEmbedder()


def test_the_pose_descriptor_by_hand():
    """Only the left thigh is seen, pointing down: one unit vector in its place, zeros elsewhere."""
    person = make_person(np.random.default_rng(0))
    world, landmarks = np.zeros((33, 3), np.float32), np.zeros((33, 4), np.float32)
    world[25], landmarks[[23, 25], 3] = (0, 0.4, 0), 0.5
    vector = EMBED(replace(person, world_landmarks=world, landmarks=landmarks))
    assert vector.shape == (45,) and vector.tolist() == [0.0] * 28 + [0, 1.0, 0][1:] + [0.0] * 15


def test_like_poses_lie_near():
    there, near, far = (EMBED(person_in(pose)) for pose in (
        TRUE_POSE, bent(TRUE_POSE, "left_elbow", y=-25), bent(TRUE_POSE, "pelvis", y=180),
    ))  # fmt: skip
    assert there @ there == pytest.approx(1)
    assert there @ near > 0.95 > 0.5 > there @ far


def test_size_place_and_clothes_do_not_count():
    person = person_in(TRUE_POSE)
    other = replace(
        person, world_landmarks=person.world_landmarks * np.float32(1.3), picture=255 - person.picture,
        landmarks=person.landmarks + np.float32([40, 9, 3, 0]),
    )  # fmt: skip
    assert EMBED(person) == pytest.approx(EMBED(other), abs=1e-6)


def test_nothing_seen_is_no_direction():
    person = make_person(np.random.default_rng(0))
    blank = replace(person, landmarks=np.full((33, 4), np.nan, np.float32))
    assert not EMBED(blank).any()


def test_ngrams_tell_copies_from_others():
    said = "When a foot floats above the ground, take 10 points off."
    vectors = ngrams([said, said.upper().replace("10", "25"), "If the head looks away, cap the score at 50.", ""])
    likeness = vectors @ vectors[0]
    assert likeness[:2] == pytest.approx(1) and likeness[2] < 0.3 and likeness[3] == 0


def test_choices_by_name():
    assert case_embedder("pose") == case_embedder("pose@1") == PoseEmbedder()
    clip = case_embedder("open_clip:ViT-B-32:/weights/b32.bin")
    assert clip == OpenClipEmbedder("ViT-B-32", "/weights/b32.bin") and clip.name == "open_clip:ViT-B-32:b32.bin"
    siglip = case_embedder("transformers:/models/siglip")
    assert siglip == TransformersEmbedder("/models/siglip") and isinstance(siglip, CaseEmbedder)
    assert text_embedder("ngrams") is ngrams
    for choose, wrong in ((case_embedder, "clip"), (case_embedder, "open_clip:x"), (text_embedder, "pose")):
        with pytest.raises(EmbedderError, match="there are"):
            choose(wrong)


@pytest.mark.parametrize(
    ("package", "ask"),
    [
        ("open_clip", lambda person: case_embedder("open_clip:ViT-B-32:openai")(person)),
        ("transformers", lambda person: case_embedder("transformers:x")(person)),
        ("sentence_transformers", lambda person: text_embedder("sentence_transformers:x")(["a"])),
    ],
)
def test_a_package_that_is_not_there_is_named(package, ask, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails, as on a fresh machine
    with pytest.raises(EmbedderError, match=r"not installed .*pip install"):
        ask(make_person(np.random.default_rng(0)))


class Clip:
    """As much of open_clip and transformers as the embedders use: a tower that tells the mean colour."""

    def create_model_and_transforms(self, model, pretrained):
        assert (model, pretrained) == ("tiny", "weights.bin")
        return self, None, lambda picture: self._pixels(picture)

    def eval(self):
        return self

    def encode_image(self, batch):
        return batch.float().mean((1, 2))

    def _pixels(self, picture):
        import torch

        return torch.from_numpy(np.asarray(picture).copy())


def test_open_clip_is_asked_for_the_crop(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", Clip())
    person = make_person(np.random.default_rng(0), picture=np.full((128, 128, 3), (30, 40, 0), np.uint8))
    assert case_embedder("open_clip:tiny:weights.bin")(person) == pytest.approx([0.6, 0.8, 0.0])


class Transformers:
    """As much of transformers as the embedder uses: a tower that tells the mean colour, in either version's form."""

    def __init__(self, wrapped: bool):
        self.wrapped = wrapped
        self.AutoModel = self.AutoImageProcessor = self

    def from_pretrained(self, model):
        assert model == "/models/siglip"
        return self

    def eval(self):
        return self

    def __call__(self, images, return_tensors):
        import torch

        assert return_tensors == "pt"
        return {"pixel_values": torch.from_numpy(np.asarray(images).copy())[None]}

    def get_image_features(self, pixel_values):
        features = pixel_values.float().mean((1, 2))
        return SimpleNamespace(pooler_output=features) if self.wrapped else features


@pytest.mark.parametrize("wrapped", [False, True])
def test_transformers_is_asked_for_the_crop(wrapped, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", Transformers(wrapped))
    person = make_person(np.random.default_rng(0), picture=np.full((128, 128, 3), (30, 40, 0), np.uint8))
    embedder = case_embedder("transformers:/models/siglip")
    assert embedder(person) == pytest.approx([0.6, 0.8, 0.0])
    assert embedder.name.startswith("transformers:")


class SentenceTransformers:
    """As much of sentence_transformers as the embedder uses: a text's vector is its length and 1."""

    def SentenceTransformer(self, model):
        assert model == "org/minilm"
        return self

    def encode(self, texts):
        assert isinstance(texts, list)
        return np.array([[len(text), 1] for text in texts], np.float32)


def test_sentence_transformers_embeds_texts_at_length_1(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", SentenceTransformers())
    vectors = text_embedder("sentence_transformers:org/minilm")(["abc", ""])
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(vectors, [[3 / 10**0.5, 1 / 10**0.5], [0, 1]], rtol=1e-6)


class Embeddings(BaseHTTPRequestHandler):
    """An embeddings endpoint: a text's vector is its length and 1, a picture's is (3, 4); rows come in disorder."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append((self.path, body))
        vectors = [[len(text), 1] for text in body["input"]] if "input" in body else [[3, 4]]
        rows = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        answer = {"error": {"message": "no"}} if body["model"] == "wrong" else {"data": rows[::-1]}
        if body["model"] == "chat":
            answer = {"choices": []}
        data = json.dumps(answer).encode()
        self.send_response(404 if body["model"] == "wrong" else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    server = HTTPServer(("127.0.0.1", 0), Embeddings)
    server.bodies = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_endpoint_embeds_pictures_and_texts(server):
    address = f"http://127.0.0.1:{server.server_port}/v1"
    person = make_person(np.random.default_rng(0))
    case = case_embedder("endpoint:org/clip", address)
    assert case.name == "endpoint:org/clip" and case(person) == pytest.approx([0.6, 0.8])
    texts = text_embedder("endpoint:org/text", address)(["abc", ""])
    assert texts[0] == pytest.approx(np.array([3, 1]) / 10**0.5) and texts[1] == pytest.approx([0, 1])
    (path, first), _ = server.bodies
    (picture,) = first["messages"][0]["content"]
    assert path == "/v1/embeddings" and picture["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert person.photo not in json.dumps(first)


def test_faults_of_an_endpoint_are_named(server, monkeypatch):
    address = f"http://127.0.0.1:{server.server_port}/v1"
    with pytest.raises(EmbedderError, match=r"does not answer \(404\)"):
        text_embedder("endpoint:wrong", address)(["a"])
    with pytest.raises(EmbedderError, match="holds no embeddings"):
        text_embedder("endpoint:chat", address)(["a"])
    with pytest.raises(EmbedderError, match="nothing is sent"):
        case_embedder("endpoint:x")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EmbedderError, match="OPENAI_API_KEY"):
        text_embedder("endpoint:x", address)(["a"])
