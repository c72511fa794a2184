"""Pictures before the prompt: against transformers' own processor and `generate()`, and everything that is refused."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import shutil

import pytest
import torch
from PIL import Image

from model import pictures
from model.engine.engine import Engine
from model.engine.parsing import parse_request
from model.errors import ModelUnavailable, SettingError
from model.limits import LOCAL
from model.models.gemma.record import open_checkpoint
from model.settings import Settings
from tests import tiny_gemma
from tests.tiny_gemma import drawn, network, save

torch.set_num_threads(1)
SHORT = Settings(steps=5, new_tokens=1, entropy_bound=30.0, canvases=2, seed=3)
SIZES = {"wide": (61, 37), "tall": (40, 300), "as its grid": (96, 48)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return {name: save(tmp_path_factory.mktemp(name), network().to(kind)) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def model(folders):
    return open_checkpoint(str(folders["float32"]))


def official(folder):
    """Return the checkpoint's processor as transformers gives it.

    Without torchvision it cannot be built from a folder: its video processor exists only there. Then the same class is given the
    image processor that transformers has without it, PIL's, and no video processor.
    """
    import transformers

    if importlib.util.find_spec("torchvision"):
        return transformers.AutoProcessor.from_pretrained(folder)

    class Processor(transformers.Gemma4Processor):
        def check_argument_for_proper_class(self, name, argument):
            return type(argument)

    return Processor(
        transformers.Gemma4AudioFeatureExtractor(),
        transformers.AutoImageProcessor.from_pretrained(folder),
        tokenizer := transformers.AutoTokenizer.from_pretrained(folder),
        None,
        chat_template=tokenizer.chat_template,
    )


def generated(folder, files: list[bytes], seed: int, system: str = "") -> tuple[list[int], list[int]]:
    """Return (prompt, answer) ids of transformers' own way from a picture to text."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig

    content = [{"type": "image", "base64": base64.b64encode(file).decode()} for file in files]
    turns = [{"role": "user", "content": [*content, {"type": "text", "text": "the user"}]}]
    inputs = official(folder).apply_chat_template(
        turns, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    library = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype="auto")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        out = library.generate(
            **inputs,
            max_new_tokens=64,
            max_denoising_steps=5,
            t_min=0.4,
            t_max=0.8,
            stability_threshold=1,
            confidence_threshold=0.005,
            sampler_config=EntropyBoundSamplerConfig(30.0),
        ).sequences[0]
    length = inputs["input_ids"].shape[1]
    return out[:length].tolist(), out[length:].tolist()


def same(trace, prompt: list[int], answer: list[int]) -> bool:
    kept = len(trace.final_ids)
    rest = answer[kept:]
    return list(trace.prompt_ids) == prompt and trace.final_ids == answer[:kept] and not any(rest)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_picture_is_answered_id_for_id_as_the_official_processor_and_generate_answer_it(folders, dtype):
    model = open_checkpoint(str(folders[dtype]))
    assert model.dtype == dtype
    agree = 0
    for width, height in SIZES.values():
        for seed in range(3):
            file = drawn(width, height, seed=seed)
            trace = model.denoise("the user", Settings(**SHORT.as_dict() | {"seed": seed}), image=file).finish()
            agree += same(trace, *generated(folders[dtype], [file], seed))
    assert agree == 9


def test_the_processor_is_given_pixels_that_are_never_rounded_to_the_models_numbers(folders):
    model = open_checkpoint(str(folders["bfloat16"]))
    _, extra = model._with_images("the user", "", [drawn()])
    assert extra["pixel_values"].dtype == torch.float32
    assert not torch.equal(extra["pixel_values"], extra["pixel_values"].bfloat16().float())


def test_several_pictures_stand_in_order_and_equal_generate(folders, model):
    files = [drawn(61, 37), drawn(48, 48, "JPEG", seed=1), drawn(30, 90, "WEBP", seed=2, lossless=True)]
    trace = model.denoise("the user", SHORT, image=files).finish()
    assert same(trace, *generated(folders["float32"], files, 3))
    told = trace.frames[0].notes
    assert told["image_sha256"].split() == [hashlib.sha256(file).hexdigest() for file in files]
    assert told["image_processor"].startswith("Gemma4ImageProcessor")
    assert not same(trace, *generated(folders["float32"], files[::-1], 3))


def test_a_photograph_is_turned_as_its_camera_says_like_the_official_processor_does(folders, model):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    file = drawn(120, 40, "JPEG", exif=exif)
    assert pictures.opened(file).size == (40, 120)
    assert same(model.denoise("the user", SHORT, image=file).finish(), *generated(folders["float32"], [file], 3))


def test_an_image_goes_before_the_prompt_and_only_its_hash_is_kept(model):
    image = drawn()
    trace = model.denoise("the user", SHORT, image=image).finish()
    assert trace.frames[0].notes["image_sha256"] == hashlib.sha256(image).hexdigest()
    places = trace.prompt_ids.count(tiny_gemma.IMAGE)
    assert 20 < places <= 70 and len(trace.prompt_ids) == len(model.encode("the user")) + places + 2
    assert trace.frames[-1].ids.tolist() != model.denoise("the user", SHORT).finish().frames[-1].ids.tolist()
    again = model.denoise("the user", SHORT, image=drawn()).finish()
    assert all(a.same_as(b, times=False) for a, b in zip(trace.frames, again.frames, strict=True))
    typed = model.denoise("the <|image|> user", SHORT, image=image)  # a place typed by the visitor is text
    assert typed.trace.prompt_ids.count(tiny_gemma.IMAGE) == places


# ---------------------------------------------------------------- refused
def animated(kind: str) -> bytes:
    out, frames = io.BytesIO(), [Image.new("RGB", (20, 20), (shade, 0, 0)) for shade in (0, 90, 200)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=90)
    return out.getvalue()


def vast() -> bytes:
    """A PNG whose head promises 60,000 x 60,000 pixels, and whose few bytes hold none."""
    head = bytearray(drawn())
    head[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    head[29:33] = zlib.crc32(head[12:29]).to_bytes(4, "big")
    return bytes(head)


BAD = {
    "larger than is taken": (b"GIF89a" + bytes(9_000_000), r"An image may have at most 8 MB; it has 9\.0 MB"),
    "too wide": (drawn(4_097), r"at most 4096 pixels a side; it has 4097 x 48"),
    "of hostile size": (vast(), r"at most 4096 pixels a side; this one has very many more"),
    "no picture": (b"not a picture", "This image cannot be read; PNG, JPEG"),
    "cut off": (drawn()[:900], "This image cannot be read; PNG, JPEG"),
    "another kind": (b"%PDF-1.7 " + bytes(90), "This image cannot be read; PNG, JPEG"),
    "animated GIF": (animated("GIF"), "must be a single picture; this one is animated"),
    "animated WebP": (animated("WEBP"), "must be a single picture; this one is animated"),
    "animated PNG": (animated("PNG"), "must be a single picture; this one is animated"),
    "film": (b"\x00\x00\x00\x20ftypisom" + bytes(200), "is a video, which this model's class does not take"),
}


@pytest.mark.parametrize("case", BAD)
def test_pictures_are_refused_with_one_sentence_before_a_model_is_loaded(model, case):
    data, words = BAD[case]
    with pytest.raises(SettingError, match=words) as refused:
        parse_request("x", model="diffusiongemma", image=data)
    assert refused.value.knob == "image"
    with pytest.raises(SettingError, match=words):
        model.denoise("x", SHORT, image=data)


def test_many_pictures_are_refused_and_so_is_a_prompt_that_they_make_too_long(folders):
    with pytest.raises(SettingError, match="at most 16 images; it has 17"):
        parse_request("x", model="diffusiongemma", image=[drawn(8, 8)] * 17)
    with pytest.raises(SettingError, match=r"Images may have at most 8 MB together; they have 8\.4 MB"):
        parse_request("x", model="diffusiongemma", image=[bytes(2_100_000)] * 4)
    engine = Engine(loader=lambda model_id, progress: open_checkpoint(model_id, progress))
    asked = parse_request("x", SHORT.as_dict(), model=f"hf:{folders['float32']}", image=[drawn()] * 16, limits=LOCAL)
    with pytest.raises(SettingError, match="may have at most 1024 tokens"):
        list(engine.run(asked))
    engine.unload()


def test_a_shape_that_the_processor_refuses_and_a_checkpoint_without_one_are_told_in_a_sentence(
    tmp_path, folders, model
):
    class Refuses:
        def __call__(self, **given):
            raise ValueError("Attempting to resize to a 0 x 0 image.")

    usual, model._image_processor = model._image_processor, Refuses()
    with pytest.raises(SettingError, match="refuses a picture of 64 x 48"):
        model.denoise("x", SHORT, image=drawn())
    model._image_processor = usual
    for side in ((1, 4096), (4096, 1), (1, 1)):
        model.denoise("x", SHORT, image=drawn(*side))
    vision = model.model.config.vision_config
    usual, vision.position_embedding_size = vision.position_embedding_size, 64
    with pytest.raises(SettingError, match="no places for a picture so long: 1 x 4096"):
        model.denoise("x", SHORT, image=drawn(1, 4096))
    vision.position_embedding_size = usual
    shutil.copytree(folders["float32"], tmp_path / "copy")
    (tmp_path / "copy" / "processor_config.json").unlink()
    with pytest.raises(ModelUnavailable, match="its image processor"):
        open_checkpoint(str(tmp_path / "copy")).denoise("x", SHORT, image=drawn())
