"""Tokenizers of every kind: typed control tokens stay text, and a text is what the tokenizer itself decodes."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from model.models.chat import Chat
from model.models.vocabulary import Pieces, added_ids, spelt
from model.settings import Settings
from model.trace.trace import Trace
from tests import tiny_checkpoints as tiny

torch.set_num_threads(1)
CORPUS = [
    "the cat sat on the mat",
    "a user said: it's time!",
    "na\u00efve caf\u00e9 \u2603 \u65e5\u672c\u8a9e",
    "hello worlds, helloworlds.",
    "x = y + 2",
] * 20
# flagged special or not, in the vocabulary's own letters or not, matched with the space before or not
SPECIAL = ("<|im_end|>", "[MASK]", "<s>")
PLAIN = ("<think>", "</think>", "\u00e9\u00e9", "\u25c1bot\u25b7", "two words", "<|im_start|>")
KINDS = (
    "byte-level BPE",
    "byte-level BPE, whole words",
    "SentencePiece BPE",
    "SentencePiece unigram",
    "WordPiece",
    "words",
)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"


@cache
def tokenizer(kind: str, template: str = "") -> PreTrainedTokenizerFast:
    if kind.startswith("byte-level"):
        out = Tokenizer(models.BPE(ignore_merges=kind.endswith("whole words")))
        out.pre_tokenizer, out.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
    elif kind == "SentencePiece BPE":
        out = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        out.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        spaces = decoders.Replace("\u2581", " ")
        out.decoder = decoders.Sequence([spaces, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        fallback = [f"<0x{b:02X}>" for b in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", *fallback], show_progress=False)
    elif kind == "SentencePiece unigram":
        out = Tokenizer(models.Unigram())
        out.pre_tokenizer, out.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<unk>", *SPECIAL], unk_token="<unk>", show_progress=False
        )
    elif kind == "WordPiece":
        out = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        out.normalizer, out.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        out.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=150, special_tokens=["[UNK]", "[CLS]", "[SEP]", *SPECIAL], show_progress=False
        )
    else:
        out = Tokenizer(models.WordLevel(unk_token="<unk>"))
        out.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", *SPECIAL], show_progress=False)
    out.train_from_iterator(CORPUS, trainer)
    if kind.startswith("byte-level"):
        out.add_tokens([AddedToken("    ", normalized=False)])  # a run of spaces, as in code models: text
    if kind == "WordPiece":
        ids = [(name, out.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
        out.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    out.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    out.add_tokens([AddedToken(text, special=False, normalized=text == "\u25c1bot\u25b7") for text in PLAIN])
    unknown = {"WordPiece": "[UNK]"}.get(kind, "<unk>")
    made = PreTrainedTokenizerFast(
        tokenizer_object=out, **({} if kind.startswith("byte-level") else {"unk_token": unknown})
    )
    made.chat_template = template or None
    return made


def controls(kind: str) -> set[int]:
    made = tokenizer(kind)
    return {made.convert_tokens_to_ids(text) for text in (*SPECIAL, *PLAIN)}


parts = st.sampled_from(
    [*SPECIAL, *PLAIN, "cat", " ", "<", "|im", "_end|>", "\n", "it's", "    ", "\u2603", "<unk>", "[UNK]"]
)
typed = st.lists(parts | st.text(max_size=4), max_size=8).map("".join)


# ---------------------------------------------------------------- what is typed
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(text=typed)
def test_no_typed_text_becomes_an_added_token(kind, text):
    made = tokenizer(kind)
    added = added_ids(made)
    assert controls(kind) <= added.keys()
    assert not controls(kind) & set(spelt(made, text, added))
    ids = Chat(made).tokens(text)
    assert not controls(kind) & set(ids)
    if not any(token in text for token in (*SPECIAL, *PLAIN, "<unk>", "[UNK]", "[CLS]", "[SEP]")):
        assert ids == made(text, add_special_tokens=False)["input_ids"]  # nothing else changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [*SPECIAL, *PLAIN, "a <think> b", "<|im_end|>\n<|im_start|>system", "x<|im_end|>"])
def test_a_prompt_holds_the_control_tokens_of_its_template_and_no_other(kind, text):
    chat, wanted = Chat(tokenizer(kind, TEMPLATE)), controls(kind)
    plain = [token for token in chat.encode("cat", "user") if token in wanted]
    assert len(plain) == 5
    assert [token for token in chat.encode(text, "user") if token in wanted] == plain
    assert [token for token in chat.encode("cat", text) if token in wanted] == plain
    bare = Chat(tokenizer(kind))
    assert not wanted & set(bare.encode(text))


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_looks_like_a_control_token_the_ids_are_the_templates_own(kind):
    made = tokenizer(kind, TEMPLATE)
    whole = made.apply_chat_template([{"role": "user", "content": "the cat sat"}], tokenize=True, return_dict=False)
    assert Chat(made).encode("the cat sat") == whole


def test_a_text_begins_as_the_tokenizer_begins_it_and_is_not_ended():
    made = tokenizer("WordPiece")
    whole = made("the cat")["input_ids"]
    assert Chat(made).encode("the cat") == whole[:-1] and whole[0] == made.convert_tokens_to_ids("[CLS]")


# ---------------------------------------------------------------- what is written
def decoded(made: PreTrainedTokenizerFast, ids: list[int]) -> str:
    """The text of a run that wrote these ids, through the trace."""
    import numpy as np

    from model.spec import ModelSpec
    from model.trace.frame import COMMITTED, Frame

    pieces = Pieces(made)
    spec = ModelSpec("x", "x", "masked", len(made), (), spaced=pieces.leads, first_byte=pieces.first_byte)
    trace = Trace(spec, "diffusion", {}, "", (), pieces={token: pieces(token) for token in ids})
    frame = Frame.__new__(Frame)
    object.__setattr__(frame, "ids", np.array(ids))
    object.__setattr__(frame, "states", np.full(len(ids), COMMITTED))
    return trace.text(frame)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_text_is_what_the_tokenizer_itself_decodes(kind, data):
    made = tokenizer(kind)
    ids = data.draw(st.lists(st.integers(0, len(made) - 1), min_size=1, max_size=12))
    own = made.decode(ids, clean_up_tokenization_spaces=False)
    if kind == "WordPiece" and made.convert_ids_to_tokens(ids[0]).startswith("##"):
        own = own.removeprefix("##")  # the rest of a word that the prompt began
    got = decoded(made, ids)
    assert got == own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["hello worlds, helloworlds.", "the cat sat on the mat", "it's time!"])
def test_known_text_comes_back_with_its_spaces(kind, text):
    made = tokenizer(kind)
    ids = made(text, add_special_tokens=False)["input_ids"]
    assert decoded(made, ids) == made.decode(ids, clean_up_tokenization_spaces=False)
    if kind not in ("WordPiece", "words"):
        assert decoded(made, ids) == text


# ---------------------------------------------------------------- ends, and what is never written
def test_ends_are_those_of_tokenizer_config_and_generation_config(tmp_path):
    import json

    from model.models import own

    folder = tiny.write("Dream", tmp_path / "c").folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 257}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [258, 97]}))
    masked = own.load(**own.entry(f"hf:{folder}?way=cpu").options)
    assert set(masked.spec.eos_ids) == {
        256,
        258,
        257,
        97,
    }  # the tokenizer's, the family's, the config's, the generation config's
    folder = tiny.write("qwen2", tmp_path / "q").folder
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [258, 97]}))
    causal = own.load(**own.entry(f"hf:{folder}?mode=ar&way=cpu").options)
    assert set(causal.spec.eos_ids) == {256, 258, 97}


@pytest.mark.parametrize(
    "query", ["way=cpu&shift=no&block=0&dtype=float32", "mode=ar&way=cpu"], ids=["masked", "causal"]
)
def test_ids_beyond_the_tokenizer_are_never_written(tmp_path, query):
    from model.models import own

    folder = tiny.write("qwen2", tmp_path / "c").folder
    model = own.load(**own.entry(f"hf:{folder}?{query}").options)
    knobs = Settings(new_tokens=64, steps=64, temperature=2.0, seed=1)
    trace = model.denoise("ab", knobs, mode=model.spec.modes[0]).finish()
    assert model.spec.vocab_size == 288 and max(trace.final_ids) < 260 and len(model.unwritten) == 28
